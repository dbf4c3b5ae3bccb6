// A turn that its caller aborts, in both ways of running it.
import { existsSync, watch } from "node:fs";
import { Codex } from "@openai/codex-sdk";
const [path, url, home, work] = process.argv.slice(2);
const codex = new Codex({ codexPathOverride: path, baseUrl: url, apiKey: "sk-test", env: { PATH: process.env.PATH, HOME: home, TROUPE_HOME: home } });
const options = { workingDirectory: work, model: "m", sandboxMode: "workspace-write", skipGitRepoCheck: true };
const failure = (error) => ({ name: error.name, code: error.code });

const stop = new AbortController();
const streamed = { kinds: [], error: null };
const thread = codex.startThread(options);
try {
  const { events } = await thread.runStreamed("streamed", { signal: stop.signal });
  for await (const event of events) {
    streamed.kinds.push(event.item ? `${event.type} ${event.item.type}` : event.type);
    if (event.type === "item.started") stop.abort();
  }
} catch (error) {
  streamed.error = failure(error);
}
console.log(JSON.stringify(streamed));

const begun = new Promise((resolve) => {
  const look = watch(work, () => { if (existsSync(`${work}/begun`)) { look.close(); resolve(); } });
});
const again = new AbortController();
const whole = { error: null };
try {
  const running = codex.startThread(options).run("whole", { signal: again.signal });
  begun.then(() => again.abort());
  await running;
} catch (error) {
  whole.error = failure(error);
}
console.log(JSON.stringify(whole));

// What was aborted can be gone on with.
const next = await codex.resumeThread(thread.id, options).run("and now?");
console.log(JSON.stringify({ final: next.finalResponse }));

const early = { errors: [] };
for (const input of ["x", "x".repeat(200000)]) {
  const aborted = new AbortController();
  const running = codex.startThread(options).run(input, { signal: aborted.signal });
  setImmediate(() => aborted.abort());
  try { await running; } catch (error) { early.errors.push(failure(error).name); }
}
console.log(JSON.stringify(early));
