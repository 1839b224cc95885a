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
const BENCH = /run_experiment|log_result/ // in a command that brings research on
const AT_ROOT = /^(\.\/)?(tools|scripts)\// // a command that is run from the root
const SHELL_MS = 900_000 // for a command that waits for a run; the client's own limit is two minutes …
const WAIT_S = 840 // … and how long that command may then wait
const TELL_AFTER = 3 // the same failing call in a row, until the model is told
const STUCK_AFTER = 8 // … and until its turn is cut short
const AIMLESS_AFTER = 150 // the same for calls that have nothing to do with an experiment
const SETTLE_MS = 300 // a turn that was aborted is still winding up when it is said to have ended
const RETRY_MS = [5_000, 30_000, 120_000, 600_000] // where tools/next_turn.py itself fails
const NEW_CALLS = { calls: 0, aimless: 0, call: "", times: 0 }
const NEW_TURN = { ...NEW_CALLS, stuck: "", error: "", retryable: true, aborted: false }
const FOR_PERSON = ["status", "report"] // commands whose output nobody else needs
const STATUS = "tools/status.py says what is next."
const AFTER_COMPACTION =
  "Load the skill autoresearch again and run tools/status.py before anything else: what it says is how things " +
  "stand. Do what its line `next:` says, and go on with the loop. Nobody is there to answer questions."

// ---------------------------------------------------------------------------------------------------
// What is denied, and what to do instead. opencode.json denies the same, but its reason is a list of rules.

const RECORD = "Only the bench moves the branch; each candidate stays on record. tools/revert.py drops an edit."
const INSTALLED = "What is installed is what there is. Where a command misses something, run scripts/setup.sh."
const OFFLINE = "Research has no network. Work with what is in this repository."
const git = (what) => new RegExp(`^git(\\s+-[Cc]\\s+\\S+|\\s+-\\S+)*\\s+(${what})`)
const DENIED = [
  [git("push\\b"), "Nothing leaves this machine: what was kept is safe on the branch."],
  [git("(reset|restore|clean|stash|rebase|update-ref)\\b|branch\\s+-(?!-)"), RECORD],
  [git("checkout\\b(?!\\s+-b\\s+autoresearch/)"), RECORD],
  [/^(curl|wget|ssh|scp|rsync)\b/, OFFLINE],
  [/^(\S*python\S*\s+-m\s+)?(\S*\/)?pip3?\s+install\b/, INSTALLED],
  [/^(uv|npm|npx|conda|apt|apt-get)\b/, INSTALLED],
  [/^sudo\b/, "The bench needs no rights but yours."],
  [/^rm\b/, "Nothing has to be deleted: tools/revert.py drops an edit, and what runs leave is the record."],
  [/^(kill|pkill|killall)\b/, "scripts/run_experiment.sh --stop ends a run that is surely lost."],
  [/tools\/verify/, `The record is the person's to check. ${STATUS}`],
  [/scripts\/start\.sh|tools\/(start|stop|next_turn)\.py/, `Starting and stopping is for the person. ${STATUS}`],
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

function deniedCommand(command) {
  // Quoted words are looked at, quoted sentences are not: a description may say "rm".
  const unquote = (text) => (/^.[\w./-]*.$/.test(text) ? text.slice(1, -1) : '""')
  const bare = command.replace(/'[^']*'|"(?:\\.|[^"\\])*"/g, unquote)
  for (const part of bare.split(/[;&|\n(){}`]+/)) {
    const words = part.trim().replace(/^((\w+=\S*|env|exec|nohup|time|timeout\s+\S+)\s+)+/, "")
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
    let out = ""
    child.stdout.setEncoding("utf8").on("data", (text) => (out += text))
    child.stderr.setEncoding("utf8").on("data", (text) => text.split("\n").filter(Boolean).forEach(said))
    child.on("error", () => done({ code: -1, out }))
    child.on("close", (code) => done({ code, out }))
    started(child) // it ends by itself when the client is gone
  })
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

  function talk(id) {
    if (!talks.has(id)) talks.set(id, { id, turn: 0, busy: false, silent: false, ours: "", ...NEW_TURN })
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

  // -- what follows a turn

  async function turnEnded(own) {
    own.busy = false
    if (headless || own.id !== driven) return
    const turn = own.turn
    const over = () => own.silent || own.turn !== turn || own.id !== driven // somebody else has taken over
    await pause(SETTLE_MS)
    const { calls, stuck, error, retryable, aborted } = own
    Object.assign(own, NEW_TURN)
    own.silent ||= aborted && !stuck // a person pressed Esc, and speaks next
    const report = { session: own.id, calls, stuck, error, retryable, aborted: false }
    for (const ms of [0, ...RETRY_MS]) {
      await pause(ms)
      if (over()) return
      const answer = await nextTurn(report, (child) => (own.waiting = child), toast)
      own.waiting = undefined
      if (over()) return
      if (answer.code === 0) return act(own, JSON.parse(answer.out))
    }
  }

  async function act(own, { action, text }) {
    if (action === "prompt") await prompt(own, text)
    if (action === "fresh") await prompt(await fresh(own), text)
    if (action === "none" && text) toast(text)
    if (action !== "stop") return
    driven = "" // until research goes on, there or elsewhere
    await show(own, `Research is over: ${text}.\n/report shows what came of it, /research goes on.`)
  }

  /** Send a prompt, to the agent and the model that the session has worked with: they are not kept otherwise. */
  async function prompt(own, text) {
    own.ours = text
    const body = { ...own.as, parts: [{ type: "text", text }] }
    await client.session.promptAsync({ path: { id: own.id }, body })
  }

  /** A new session in the place of one that is stuck, also on the person's screen. */
  async function fresh(own) {
    const id = (await client.session.create({ body: {} })).data.id
    driven = id
    client.tui.publish({ body: { type: "tui.session.select", properties: { sessionID: id } } }).catch(() => {})
    return Object.assign(talk(id), { isRoot: true, as: own.as })
  }

  /** Words for the person, which the model does not get to see, nor answers. */
  async function show(own, text) {
    own.ours = text
    // Without the second part a model at work would next be sent a message with nothing in it.
    const parts = [{ type: "text", text, ignored: true }, { type: "text", text: "(Go on.)", synthetic: true }]
    await client.session.prompt({ path: { id: own.id }, body: { ...own.as, noReply: true, parts } })
  }

  function toast(message) {
    const body = { title: "Research", message, variant: "info", duration: 15_000 }
    client.tui.showToast({ body }).catch(() => {})
  }

  // -- the hooks

  function event({ event: { type, properties } }) {
    if (type === "message.part.updated") return partUpdated(properties.part)
    if (!properties?.sessionID) return
    const own = talk(properties.sessionID)
    if (type === "session.created") own.isRoot = !properties.info?.parentID
    if (type === "session.status" && properties.status?.type === "busy") own.busy = true
    if (type === "session.idle" && own.busy) turnEnded(own).catch(() => {})
    if (type !== "session.error") return
    const { name, data } = properties.error ?? {}
    if (name === "MessageAbortedError") own.aborted = true
    else Object.assign(own, { error: data?.message || name || "an error", retryable: data?.isRetryable ?? true })
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

  async function before({ tool, sessionID }, { args }) {
    const own = talk(sessionID)
    const why = denied(tool, args ?? {}, directory)
    const times = own.call === nameOf(tool, args) ? own.times + 1 : 1
    if (why) throw new Denied(times >= TELL_AFTER ? why + again(times) : why)
    const command = tool === "bash" ? String(args.command) : ""
    if (AT_ROOT.test(command)) args.workdir ??= ROOT // also where the client was started below it
    if (/run_experiment/.test(command)) args.timeout = Math.max(Number(args.timeout) || 0, SHELL_MS)
    if (BENCH.test(command) || (tool === "skill" && args.name === "autoresearch")) await drive(sessionID)
  }

  function after({ tool, sessionID, args }, output) {
    const code = output.metadata?.exit ?? 0
    const times = count(sessionID, tool, args, tool === "invalid" || (code !== 0 && code !== 75))
    if (times >= TELL_AFTER && sessionID === driven) output.output += again(times)
  }

  async function commanded({ command, sessionID }, { parts }) {
    if (command === "research") await drive(sessionID)
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
