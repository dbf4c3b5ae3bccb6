// A streamed thread of several turns, driven by the public SDK, which thinks it drives its own program.
import { Codex } from "@openai/codex-sdk";
const [path, url, home, work] = process.argv.slice(2);
const codex = new Codex({ codexPathOverride: path, baseUrl: url, apiKey: "sk-test", env: { PATH: process.env.PATH, HOME: home, TROUPE_HOME: home } });
const thread = codex.startThread({ workingDirectory: work, model: "m", sandboxMode: "workspace-write", skipGitRepoCheck: true });
const kinds = [];
const { events } = await thread.runStreamed("first");
for await (const event of events) kinds.push(event.item ? `${event.type} ${event.item.type}` : event.type);
console.log(JSON.stringify({ id: thread.id, kinds }));
const second = await thread.run("second");
console.log(JSON.stringify({ id: thread.id, final: second.finalResponse, items: second.items.length, usage: second.usage }));
const again = codex.resumeThread(thread.id, { workingDirectory: work, model: "m", skipGitRepoCheck: true });
const third = await again.run("third");
console.log(JSON.stringify({ final: third.finalResponse }));
