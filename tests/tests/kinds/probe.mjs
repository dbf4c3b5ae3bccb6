// One run of the public SDK, as the row wants it; prints what became of it as JSON.
import { Codex } from "@openai/codex-sdk";
const want = JSON.parse(process.argv[2]);
const env = { PATH: process.env.PATH, HOME: want.home, TROUPE_HOME: want.home, TROUPE_TEST_MARKER: process.env.TROUPE_TEST_MARKER };
const codex = new Codex({ codexPathOverride: want.path, baseUrl: want.url, apiKey: "sk-test", env, config: want.config, configOverrides: want.overrides });
const options = { workingDirectory: want.work, model: "m", skipGitRepoCheck: true, ...want.thread };
const start = () => (want.resume === undefined ? codex.startThread(options) : codex.resumeThread(want.resume, options));
const text = "x".repeat(want.size ?? 3);
const input = want.image ? [{ type: "text", text }, { type: "local_image", path: want.image }] : text;
const result = { caught: 0, kinds: [] };
let thread = start();
const once = async () => {
  const abort = new AbortController();
  let signal = abort.signal;
  if (want.abort === "before") abort.abort();
  if (want.abort === "timer") setTimeout(() => abort.abort(), 700);
  if (want.abort === "timeout") signal = AbortSignal.timeout(700);
  const turn = { signal, ...want.turn };
  if (!want.streamed) return (await thread.run(input, turn)).finalResponse;
  const { events } = await thread.runStreamed(input, turn);
  for await (const event of events) {
    result.kinds.push(event.type);
    if (event.type === want.abort) abort.abort();
  }
};
for (let time = 0; time < (want.times ?? 1); time++) {
  try {
    result.final = await once();
  } catch (error) {
    result.caught += 1;
    result.name = error.name;
    result.code = error.code;
    result.message = String(error.message);
  }
  if (want.times) thread = start();
}
if (want.again) result.again = (await thread.run("more")).finalResponse;
console.log(JSON.stringify(result));
