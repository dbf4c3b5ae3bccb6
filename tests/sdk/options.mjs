// Every option of the SDK's types, and every value of those that are lists, in one run each. The
// lists come from the SDK's own types, so that a new one is noticed.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { dirname, join } from "node:path";
import { Codex } from "@openai/codex-sdk";
const [path, url, home, work] = process.argv.slice(2);
const types = readFileSync(join(dirname(fileURLToPath(import.meta.resolve("@openai/codex-sdk"))), "index.d.ts"), "utf8");
const union = (name) => [...types.match(new RegExp(`type ${name} = ([^;]*);`))[1].matchAll(/"([^"]*)"/g)].map((found) => found[1]);
const fields = (name) => [...types.match(new RegExp(`type ${name} = \\{([\\s\\S]*?)\\n\\};`))[1].matchAll(/^ {4}(\w+)\??:/gm)].map((found) => found[1]);
const image = join(work, "one.png");
writeFileSync(image, Buffer.from("89504e470d0a1a0a", "hex"));

const base = { codexPathOverride: path, baseUrl: url, apiKey: "sk-sdk", env: { PATH: process.env.PATH, HOME: home, TROUPE_HOME: home, OPENAI_API_KEY: "sk-of-the-machine" } };
const codex = {
  codexPathOverride: [path], baseUrl: [url], apiKey: ["sk-sdk"], env: [{ ...base.env, MORE: "1" }],
  config: [{}, { model_verbosity: "low", tools: { web_search: true }, sandbox_workspace_write: { writable_roots: [work] } }],
  configOverrides: [["model_verbosity=\"low\"", "features.some_feature=true"]],
};
const thread = {
  model: ["m"], threadSource: ["a-program", ""], sandboxMode: union("SandboxMode"), workingDirectory: [work],
  skipGitRepoCheck: [true, false], modelReasoningEffort: union("ModelReasoningEffort"), networkAccessEnabled: [true, false],
  webSearchMode: union("WebSearchMode"), webSearchEnabled: [true, false], approvalPolicy: union("ApprovalMode"),
  additionalDirectories: [[], [home], [home, work]],
};
const turn = {
  cyberAccessProgram: union("CyberAccessProgram"), signal: [new AbortController().signal],
  outputSchema: [{ type: "object", properties: {}, additionalProperties: false }],
};
const inputs = ["x", "x".repeat(200000), "", [{ type: "text", text: "look" }, { type: "local_image", path: image }]];

const driven = { CodexOptions: codex, ThreadOptions: thread, TurnOptions: turn };
const untold = Object.entries(driven).flatMap(([name, all]) => fields(name).filter((field) => !(field in all)));
const run = async (what, codexOptions, threadOptions, turnOptions, input = "go") => {
  let last = "";
  try {
    const all = { workingDirectory: work, skipGitRepoCheck: true, model: "m", ...threadOptions };
    const made = new Codex({ ...base, ...codexOptions }).startThread(all);
    last = (await made.run(input, turnOptions)).finalResponse;
  } catch (error) {
    last = `${error.name}: ${error.message}`;
  }
  console.log(JSON.stringify({ what, last }));
};
for (const [field, values] of Object.entries(codex)) for (const value of values) await run(`${field} ${JSON.stringify(value)}`, { [field]: value }, {}, {});
for (const [field, values] of Object.entries(thread)) for (const value of values) await run(`${field} ${JSON.stringify(value)}`, {}, { [field]: value }, {});
for (const [field, values] of Object.entries(turn)) for (const value of values) await run(`${field} ${JSON.stringify(value)}`, {}, {}, { [field]: value });
for (const input of inputs) await run(`input ${JSON.stringify(input).slice(0, 40)}`, {}, {}, {}, input);
console.log(JSON.stringify({ untold, efforts: union("ModelReasoningEffort") }));
