// Plays a script of hooks to the plugin, with a client that notes what it is asked for: play.mjs PLUGIN SCRIPT

import { readFileSync } from "node:fs"

const [plugin, script] = process.argv.slice(-2)
const { steps, children = [], failing = {} } = JSON.parse(readFileSync(script, "utf8"))
const asked = []
const note = (name, answer) => async (given) => {
  asked.push({ name, ...given })
  if (failing[name]-- > 0) return { error: { name: "UnknownError", data: { message: "out of order" } } }
  return { data: answer?.(given) }
}
const client = {
  session: {
    get: async ({ path }) => ({ data: { id: path.id, parentID: children.includes(path.id) ? "ses_root" : undefined } }),
    create: note("create", () => ({ id: "ses_fresh" })),
    abort: note("abort"),
    prompt: note("prompt"),
    promptAsync: note("promptAsync"),
  },
  tui: { publish: note("publish"), showToast: note("toast") },
}
if (process.env.IN_WINDOW) process.argv[1] = "/src/cli/tui/worker.js" // as it is there
const { Autoresearch } = await import(plugin)
const hooks = await Autoresearch({ client, directory: new URL("../..", `file://${plugin}`).pathname })
const took = []
for (const [name, ...given] of steps) {
  let error
  if (name === "wait") await new Promise((done) => setTimeout(done, given[0]))
  else if (name === "asked") for (let n = 0; n < 100 && !asked.some((own) => own.name === given[0]); n++) await pause(50)
  else await hooks[name](...given).catch((failure) => (error = failure.message))
  took.push({ name, given, error, asked: asked.length })
}
console.log(JSON.stringify({ took, asked }))
process.exit(0)

function pause(ms) {
  return new Promise((done) => setTimeout(done, ms))
}
