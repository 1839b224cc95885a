// What only the client itself can do for research that goes on all night: send a model that ended its turn back to
// work, count what the model costs, give commands the time they need, say what to do instead of what is denied,
// and notice a model that runs in circles. Everything works without it, but for the first.
//
// What follows a turn is decided by tools/next_turn.py from the campaign's files; this asks, and does as it is
// told. It imports nothing but node's own modules, and nothing in it may fail into the client or keep it waiting.

import { spawn } from "node:child_process"
import { appendFileSync, existsSync, readFileSync } from "node:fs"
import { join, resolve, sep } from "node:path"
import { fileURLToPath } from "node:url"

const ROOT = resolve(fileURLToPath(import.meta.url), "../../..")
const BENCH = /run_experiment|log_result|sweep\.py/ // in a command that brings research on
const AT_ROOT = /^(\.\/)?(tools|scripts)\// // a command that is run from the root
const SHELL_MS = 900_000 // for a command that waits for a run; the client's own limit is two minutes …
const WAIT_S = 840 // … and how long that command may then wait
const TELL_AFTER = 3 // the same failing call in a row, until the model is told
const STUCK_AFTER = 8 // … and until its turn is cut short
const AIMLESS_AFTER = 150 // the same for calls that have nothing to do with an experiment
const SETTLE_MS = 300 // a turn that was aborted is still winding up when it is said to have ended
const RETRY_MS = [5_000, 30_000, 120_000, 600_000] // where tools/next_turn.py itself fails
const FINAL = // what its endpoint will say again to the same conversation; a plain APIError says for itself
  /^(ProviderAuth|ContextOverflow|MessageOutputLength|ContentFilter|StructuredOutput)Error$/
const ABORTED = "MessageAbortedError"
const NEW_CALLS = { calls: 0, aimless: 0, call: "", times: 0 }
const NEW_TURN = { ...NEW_CALLS, stuck: "", error: "", retryable: true }
const FOR_PERSON = ["status", "report"] // commands whose output nobody else needs
const STATUS = "tools/status.py says what is next."
const AFTER_COMPACTION =
  "Load the skill autoresearch again and run tools/status.py before anything else: what it says is how things " +
  "stand. Do what its line `next:` says, and go on with the loop. Nobody is there to answer questions."

// ---------------------------------------------------------------------------------------------------
// What is denied, and what to do instead. opencode.json denies the same, but its reason is a list of rules.

const RECORD = "Only the bench moves the branch; each candidate stays on record. tools/revert.py drops an edit."
const STAY = `Research stays on the campaign's branch. ${STATUS}`
const SETTINGS = "git is set up as it has to be; the bench needs nothing else."
const INSTALLED = "What is installed is what there is. Where a command misses something, run scripts/setup.sh."
const OFFLINE = "Research has no network. Work with what is in this repository."
const PERSONS = `Starting and stopping is for the person. ${STATUS}`
const git = (what) => new RegExp(`^git(\\s+-[Cc]\\s+\\S+|\\s+-\\S+)*\\s+(${what})`)
const TO_CAMPAIGN = git("(?:switch|checkout)\\s+(?:-[cb]\\s+)?autoresearch/(\\S+)")
const DENIED = [
  [git("push\\b"), "Nothing leaves this machine: what was kept is safe on the branch."],
  [git("pull\\b"), OFFLINE],
  [git("switch\\b(?!\\s+(-c\\s+)?autoresearch/)"), STAY],
  [git("(reset|restore|clean|stash|rebase|update-ref)\\b|branch\\s+-(?!-(show-current|list)\\b)"), RECORD],
  [git("checkout\\b(?!\\s+-b\\s+autoresearch/)"), RECORD],
  [git("(merge|cherry-pick|revert|am|apply|worktree|symbolic-ref|gc|prune)(?![\\w-])|tag\\s+-d"), RECORD],
  [git("config\\b(?!\\s+(--get|--list|-l|get|list)\\b)"), SETTINGS],
  [/^(curl|wget|ssh|scp|rsync|nc)\b/, OFFLINE],
  [/^(\S*python\S*\s+-m\s+)?(\S*\/)?pip3?\s+install\b/, INSTALLED],
  [/^(uv|npm|npx|conda|apt|apt-get)\b/, INSTALLED],
  [/^sudo\b/, "The bench needs no rights but yours."],
  [/^rm\b/, "Nothing has to be deleted: tools/revert.py drops an edit, and what runs leave is the record."],
  [/^(kill|pkill|killall)\b/, "scripts/run_experiment.sh --stop ends a run that is surely lost."],
  [/(^|[\s/])(verify|audit)\.py\b|tools\/(verify|audit)/, `The record is the person's to check. ${STATUS}`],
  [/evaluate\.py.*--split|runs\/\S+\/verify/, `The held-out text is the person's to look at. ${STATUS}`],
  [/(^|[\s/])report\.(py|html)\b|tools\/report/, `The report is the person's: it may tell of held-out text. ${STATUS}`],
  [/(^|[\s/])(start\.sh|start\.py|stop\.py|next_turn\.py)\b/, PERSONS],
  [/(^(touch|tee|cp|mv)\s(.*[\s/])?|>\s*(\S*\/)?)STOP(\s|$)/, PERSONS],
  [/^(\S*\/)?opencode\b/, `You are in opencode. ${STATUS}`],
]

/** Why a call is denied, and what to do instead; empty where nothing speaks against it. */
function denied(tool, args, directory) {
  if (tool === "bash") return deniedCommand(String(args.command ?? ""))
  if (["edit", "write", "apply_patch"].includes(tool)) return deniedEdit(args, directory)
  const given = tool === "read" ? args.filePath : ["grep", "glob"].includes(tool) ? args.path : ""
  if (!given) return ""
  const path = resolve(directory, String(given))
  if (/\/\.env(\.|$)|\.env$/.test(path)) return `Research needs no secrets. ${STATUS}`
  if (/\/runs\/[^/]+\/(verify|report\.html)/.test(path)) return `The held-out text is the person's to look at. ${STATUS}`
  const own = /^\/tmp\/opencode\/|\/opencode\/tool-output\// // where the client puts output that is too long
  return (path + sep).startsWith(ROOT + sep) || own.test(path) ? "" : `All that research needs is in ${ROOT}.`
}

function deniedEdit({ filePath, patchText }, directory) {
  const files = filePath ? [filePath] : (String(patchText ?? "").match(/(?<=^\*\*\* \w+ File: ).+/gm) ?? [])
  const train = join(ROOT, "train.py")
  const other = files.map((file) => resolve(directory, file.trim())).find((path) => path !== train)
  if (!other) return ""
  if (other === join(ROOT, "program.md")) return "program.md is the person's page. Follow it, and edit train.py."
  return `Only train.py may be edited: a run with any other change is refused. Edit ${train}.`
}

// What of a command is no command: what is escaped, quoted, a comment, or the body of a heredoc.
const ASIDE = new RegExp(
  [
    /\\[^]/,
    /'[^']*'|"(?:\\[^]|[^"\\])*"/,
    /(?<!\S)#[^\n]*/,
    /(?<!<)<<-?[ \t]*(?<quote>['"\\]?)(?<end>[\w.-]+)['"]?(?<rest>[^\n]*)\n(?:[^]*?\n)??\t*\k<end>(?=\n|$)/,
  ].map(({ source }) => source).join("|"),
  "g",
)

/** The simple commands in a command line, without the words around them that change nothing. */
function commandsIn(line) {
  const bare = (text) =>
    text.replace(ASIDE, (found, ...more) => {
      const { end, rest } = more.at(-1)
      if (end) return ` ${bare(rest)}\n`
      if (found[0] === "\\") return /\w/.test(found[1]) ? found[1] : " "
      // Quoted words are looked at, quoted sentences are not: a description may say "rm".
      return found[0] === "#" ? "" : /^.[\w./-]*.$/.test(found) ? found.slice(1, -1) : '""'
    })
  const parts = bare(line).split(/[;&|\n(){}`]+/)
  return parts.map((part) => part.trim().replace(/^((\w+=\S*|env|exec|nohup|time|timeout\s+\S+)\s+)+/, ""))
}

function deniedCommand(line) {
  for (const words of commandsIn(line)) {
    const why = DENIED.find(([pattern]) => pattern.test(words))?.[1]
    if (why) return `Denied: ${words.slice(0, 80)}. ${why}`
  }
  return ""
}

class Denied extends Error {}

// ---------------------------------------------------------------------------------------------------

/** The tag of the campaign whose branch is checked out; empty on another branch. */
function campaign() {
  let folder = join(ROOT, ".git")
  try {
    folder = resolve(ROOT, readFileSync(folder, "utf8").replace(/^gitdir: /, "").trim()) // of a linked worktree
  } catch {} // a folder, as it mostly is
  return readFileSync(join(folder, "HEAD"), "utf8").match(/^ref: refs\/heads\/autoresearch\/(\S+)/)?.[1] ?? ""
}

/** Run tools/next_turn.py; `said` gets its stderr line by line. */
function nextTurn(report, started, said) {
  return new Promise((done) => {
    const script = '. scripts/python.sh && find_python . && exec "$python" tools/next_turn.py --report "$1"'
    const stdio = ["ignore", "pipe", "pipe"]
    const child = spawn("bash", ["-c", script, "autoresearch", JSON.stringify(report)], { cwd: ROOT, stdio })
    let out = "", err = ""
    child.stdout.setEncoding("utf8").on("data", (text) => (out += text))
    child.stderr.setEncoding("utf8").on("data", (text) => {
      for (const line of text.split("\n").filter(Boolean)) said((err = line))
    })
    child.on("error", ({ message }) => done({ code: -1, out, err: message }))
    child.on("close", (code) => done({ code, out, err }))
    started(child) // it ends by itself when the client is gone
  })
}

/** What the client answered. Raises Error where it refused. */
async function must(call) {
  const { data, error } = await call
  if (error) throw new Error(error.data?.message ?? error.message ?? JSON.stringify(error))
  return data
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms))
const nameOf = (tool, args) => `${tool} ${args?.command ?? JSON.stringify(args)}`
const again = (times) =>
  `\n(This call failed ${times} times in a row, and will again. Run tools/status.py and do what \`next:\` says.)`

export const Autoresearch = async ({ client, directory }) => {
  if (!existsSync(join(ROOT, "tools", "next_turn.py"))) return {}
  const headless = process.env.AUTORESEARCH_HEADLESS === "1" // scripts/start.sh prompts, and cuts turns short
  const inWindow = /tui/.test(process.argv[1] ?? "") // there a command may be cut short without a word of error
  const talks = new Map() // what is known of each session, by id
  const seen = new Set() // ids of the parts that were counted
  let driven = "" // the session that does research
  let named = "" // the campaign that the person named last

  function talk(id) {
    if (!talks.has(id)) talks.set(id, { id, turn: 0, busy: false, silent: false, aborted: false, ours: "", ...NEW_TURN })
    return talks.get(id)
  }

  /** From now on this session is the one that does research, unless it is a subagent's. */
  async function drive(id) {
    const own = talk(id)
    own.isRoot ??= !(await client.session.get({ path: { id } })).data?.parentID
    if (own.isRoot) driven = id
  }

  // -- what the model does

  /** Take a call that ended into account; returns how often in a row it failed in just this way. */
  function count(id, tool, args, failed) {
    const own = talk(id)
    const call = nameOf(tool, args)
    own.calls += 1
    own.aimless = BENCH.test(call) ? 0 : own.aimless + 1
    own.times = !failed ? 0 : call === own.call ? own.times + 1 : 1
    own.call = call
    const what = call.slice(0, 120)
    if (own.times >= STUCK_AFTER) cutShort(own, `the same failing call ${own.times} times in a row: ${what}`)
    if (own.aimless >= AIMLESS_AFTER) cutShort(own, `${own.aimless} tool calls without an experiment`)
    return own.times
  }

  function cutShort(own, why) {
    if (headless || own.stuck || own.id !== driven) return
    own.stuck = why
    client.session.abort({ path: { id: own.id } }).catch(() => {})
  }

  /** A line in client.jsonl for a step of the model. */
  function pay({ sessionID, tokens = {}, cost = 0 }) {
    const tag = campaign()
    const folder = join(ROOT, "runs", tag)
    if (!tag || !existsSync(folder)) return
    const { input = 0, output = 0, reasoning = 0, cache = {} } = tokens
    const counts = { input, output, reasoning, cache_read: cache.read ?? 0, cache_write: cache.write ?? 0 }
    const line = JSON.stringify({ at: Date.now() / 1000, session: sessionID, tokens: counts, cost })
    appendFileSync(join(folder, "client.jsonl"), line + "\n")
  }

  function partUpdated(part) {
    const failed = part.type === "tool" && part.state?.status === "error" // others come by tool.execute.after
    if ((!failed && part.type !== "step-finish") || seen.has(part.id)) return
    seen.add(part.id)
    if (failed) count(part.sessionID, part.tool, part.state.input, true)
    else pay(part)
  }

  /** An abort before the answer's first word is no session.error: only the message tells of it. */
  function messageUpdated({ sessionID, error }) {
    if (error?.name === ABORTED) talk(sessionID).aborted = true
  }

  // -- what follows a turn

  async function turnEnded(own) {
    own.busy = false
    if (headless) return
    const turn = own.turn
    await pause(SETTLE_MS)
    if (own.id !== driven) return
    const { calls, stuck, error, retryable } = own
    Object.assign(own, NEW_TURN)
    const over = () => {
      if (own.turn !== turn || own.id !== driven) return true // somebody else has taken over
      own.silent ||= own.aborted && !stuck // a person pressed Esc, and speaks next; word of it may come late
      return own.silent
    }
    const report = { session: own.id, calls, stuck, error, retryable, aborted: false }
    let failure = "", action // which is asked for once: a turn counts once
    for (const ms of [0, ...RETRY_MS]) {
      await pause(ms)
      if (over()) return
      try {
        action ??= await whatFollows(own, report, over)
        if (over()) return
        return await act(own, action, over)
      } catch (error) {
        failure = String(error?.message || error)
      }
    }
    if (!over()) await show(own, `Research could not be continued: ${failure.slice(0, 300)}; say anything to go on.`)
  }

  async function whatFollows(own, report, over) {
    const { code, out, err } = await nextTurn(report, (child) => (own.waiting = child), toast)
    own.waiting = undefined
    if (over()) return
    if (code !== 0) throw new Error(err || `tools/next_turn.py ended with ${code}`)
    return JSON.parse(out)
  }

  async function act(own, action, over) {
    const { text } = action
    if (action.action === "prompt") await prompt(own, text)
    if (action.action === "fresh") await fresh(own, action, over)
    if (action.action === "none" && text) toast(text)
    if (action.action !== "stop") return
    await show(own, `Research is over: ${text}.\n/report shows what came of it, /research goes on.`)
    if (!over()) driven = "" // until research goes on, there or elsewhere
  }

  /** Send a prompt, to the agent and the model that the session has worked with: they are not kept otherwise. */
  async function prompt(own, text) {
    own.ours = text
    const body = { ...own.as, parts: [{ type: "text", text }] }
    await must(client.session.promptAsync({ path: { id: own.id }, body }))
  }

  /** A new session in the place of one that is stuck, also on the person's screen. */
  async function fresh(own, action, over) {
    action.session ??= (await must(client.session.create({ body: {} }))).id // one, however often it is tried
    const id = action.session
    if (over()) return
    await prompt(Object.assign(talk(id), { isRoot: true, as: own.as }), action.text)
    driven = id
    client.tui.publish({ body: { type: "tui.session.select", properties: { sessionID: id } } }).catch(() => {})
  }

  /** Words for the person, which the model does not get to see, nor answers. */
  async function show(own, text) {
    own.ours = text
    // Without the second part a model at work would next be sent a message with nothing in it.
    const parts = [{ type: "text", text, ignored: true }, { type: "text", text: "(Go on.)", synthetic: true }]
    await must(client.session.prompt({ path: { id: own.id }, body: { ...own.as, noReply: true, parts } }))
  }

  function toast(message) {
    const body = { title: "Research", message, variant: "info", duration: 15_000 }
    client.tui.showToast({ body }).catch(() => {})
  }

  // -- the hooks

  function event({ event: { type, properties } }) {
    if (type === "message.part.updated") return partUpdated(properties.part)
    if (type === "message.updated") return messageUpdated(properties.info)
    if (!properties?.sessionID) return
    const own = talk(properties.sessionID)
    if (type === "session.created") own.isRoot = !properties.info?.parentID
    if (type === "session.status" && properties.status?.type === "busy") {
      if (!own.busy) own.aborted = false
      own.busy = true
    }
    if (type === "session.idle" && own.busy) turnEnded(own).catch(() => {})
    if (type !== "session.error") return
    const { name, data } = properties.error ?? {}
    if (name === ABORTED) own.aborted = true
    else Object.assign(own, { error: data?.message || name || "an error", retryable: data?.isRetryable ?? !FINAL.test(name) })
  }

  /** A message by anybody but us: whatever we were about to say there is out of date. */
  function spoken({ sessionID, variant }, { message: { agent, model }, parts }) {
    const own = talk(sessionID)
    const ours = own.ours && parts.some(({ text }) => text === own.ours)
    own.ours = ""
    if (ours) return
    own.as = { agent, model: { providerID: model.providerID, modelID: model.modelID }, variant }
    own.silent = false
    own.turn += 1
    own.waiting?.kill()
  }

  /** Why a command that goes to another campaign is denied: which one it is, is for the person to say. */
  function leaving(command) {
    if (!driven || !/autoresearch\//.test(command)) return ""
    const at = campaign()
    const to = commandsIn(command).map((words) => words.match(TO_CAMPAIGN)?.at(-1)).filter(Boolean)
    if (!at || to.every((tag) => tag === at || tag === named)) return ""
    return `Research works on autoresearch/${at}. Another campaign is for the person to begin: /research TAG. ${STATUS}`
  }

  async function before({ tool, sessionID }, { args }) {
    const own = talk(sessionID)
    const why = denied(tool, args ?? {}, directory) || leaving(tool === "bash" ? String(args.command) : "")
    const times = own.call === nameOf(tool, args) ? own.times + 1 : 1
    if (why) throw new Denied(times >= TELL_AFTER ? why + again(times) : why)
    const command = tool === "bash" ? String(args.command) : ""
    if (AT_ROOT.test(command)) args.workdir ??= ROOT // also where the client was started below it
    if (/run_experiment|sweep\.py/.test(command)) args.timeout = Math.max(Number(args.timeout) || 0, SHELL_MS)
    if (BENCH.test(command) || (tool === "skill" && args.name === "autoresearch")) await drive(sessionID)
  }

  function after({ tool, sessionID, args }, output) {
    const code = output.metadata?.exit ?? 0
    const times = count(sessionID, tool, args, tool === "invalid" || (code !== 0 && code !== 75))
    if (times >= TELL_AFTER && sessionID === driven) output.output += again(times)
  }

  async function commanded({ command, sessionID, arguments: given }, { parts }) {
    if (command === "research") {
      named = String(given ?? "").trim().split(/\s+/)[0]
      await drive(sessionID)
    }
    if (!inWindow || !FOR_PERSON.includes(command)) return
    await show(talk(sessionID), parts[0].text.split("\n\n(")[0]) // the rest is for the model
    throw new Denied("") // it is on the screen, and the model has nothing to do about it
  }

  /** A hook that fails is as good as none, but for one that denies something. */
  const safely = (hook) => async (...given) => {
    try {
      await hook(...given)
    } catch (error) {
      if (error instanceof Denied) throw error
    }
  }

  return {
    event: safely(event),
    "chat.message": safely(spoken),
    "tool.execute.before": safely(before),
    "tool.execute.after": safely(after),
    "command.execute.before": safely(commanded),
    "shell.env": safely((_, { env }) => (env.AUTORESEARCH_WAIT = process.env.AUTORESEARCH_WAIT ?? String(WAIT_S))),
    "experimental.session.compacting": safely((_, { context }) =>
      context.push(`End the summary with this line: ${AFTER_COMPACTION}`),
    ),
    // After a compaction the client tells the model to continue, or to stop and ask.
    "experimental.chat.messages.transform": safely((_, { messages }) => {
      for (const { parts } of messages.filter(({ info }) => headless || info.sessionID === driven))
        for (const part of parts) if (part.metadata?.compaction_continue) part.text = AFTER_COMPACTION
    }),
  }
}
