// Two hundred runs that end before they have read their prompt, of one byte and of 200 kB. Each
// has to be an error that can be caught: a pipe that is closed too early ends this whole process.
import { Codex } from "@openai/codex-sdk";
const [path, url, home, work] = process.argv.slice(2);
const env = { PATH: process.env.PATH, HOME: home, TROUPE_HOME: home };
const base = { codexPathOverride: path, baseUrl: url, apiKey: "sk-test", env };
const causes = {
  "a setting": [{ config: { sandbox_mode: "bogus" } }, {}],
  "a value": [{ configOverrides: ["tool_output_token_limit=-1"] }, {}],
  "a folder": [{}, { workingDirectory: `${work}/not/there` }],
  "an option": [{}, { sandboxMode: "no-such-mode" }],
  "an effort": [{}, { modelReasoningEffort: "no-such-effort" }],
  "a further folder": [{}, { additionalDirectories: ["/not/there"] }],
  "no provider": [{ apiKey: undefined }, {}],
  "a provider": [{ config: { model_provider: "nobody" } }, {}],
  "a session": [{}, {}, "01a20000-0000-7000-8000-000000000000"],
  "no id": [{}, {}, ".."],
};
const inputs = ["x", "x".repeat(200000), [{ type: "text", text: "x".repeat(200000) }, { type: "local_image", path: "/not/there.png" }]];
let caught = 0;
const messages = {};
const one = async (name, input) => {
  const [codexOptions, threadOptions, id] = causes[name];
  const codex = new Codex({ ...base, ...codexOptions });
  const all = { workingDirectory: work, skipGitRepoCheck: true, model: "m", ...threadOptions };
  const thread = id === undefined ? codex.startThread(all) : codex.resumeThread(id, all);
  try {
    await thread.run(input);
  } catch (error) {
    caught += 1;
    messages[name] ??= error.message.split("\n")[0];
  }
};
const names = Object.keys(causes);
const jobs = Array.from({ length: 200 }, (_, at) => [names[at % names.length], inputs[Math.floor(at / names.length) % inputs.length]]);
const worker = async () => { for (let job = jobs.pop(); job !== undefined; job = jobs.pop()) await one(...job); };
await Promise.all([worker(), worker(), worker(), worker()]);
console.log(JSON.stringify({ caught, messages }));
