// Asks a service all sorts of things and prints the answers as one JSON object; a Go test compares them with what the Go
// client gets. Arguments: the base URL, and one behind a proxy that breaks things.

import { IncompleteError, Permanode, ProblemError, type Row } from "../client.js";
import { Sha256 } from "../sha256.js";

declare const process: { argv: string[]; stdout: { write(text: string): void } };

const [, , base, broken] = process.argv as [string, string, string, string];
const end = new AbortController();
const direct = new Permanode(base, { signal: end.signal }), rough = new Permanode(broken, { signal: end.signal, retryMs: 10 });
const out: Record<string, unknown> = {};

const q = "tag:INVOICE", net = "tangle";
out["info"] = await direct.get("/v1/info", {});
out["networks"] = await direct.get("/v1/networks", {});
out["coverage"] = await direct.get("/v1/networks/{net}/coverage", { net });
out["unit"] = await direct.get("/v1/networks/{net}/units/{seq}", { net, seq: 81 });
out["search"] = await direct.get("/v1/search", { q, limit: 3, order: "oldest", facets: ["kind", "state"] });
out["pages"] = (await all(direct.list("/v1/search", { q, limit: 7 }))).map((i) => i.id);
out["records"] = (await all(direct.list("/v1/networks/{net}/units/{seq}/records", { net, seq: 75, limit: 5 }))).map((i) => i.id);

const first = (await direct.get("/v1/networks/{net}/units/{seq}/records", { net, seq: 81, limit: 1 })).items[0]!;
out["record"] = await direct.get("/v1/networks/{net}/records/{id}", { net, id: first.id });
const hash = new Sha256();
hash.update(await direct.bytes("/v1/networks/{net}/records/{id}", { net, id: first.id, format: "raw" }));
out["raw"] = { sha256: hash.hex(), want: first.sha256 };
out["places"] = await direct.get("/v1/records/{id}", { id: first.id });
out["batch"] = await direct.batch([first.id, "nonsense"]);
out["tag"] = await direct.get("/v1/tags/{tag}", { tag: "計測", limit: 2 });
out["address"] = await direct.get("/v1/addresses/{addr}", { addr: "tst1qzfaq8psmvhg4m82ery6fz2dcgp28zvga2hkmzkkng0ddy6e7mdhxhxrxqr", limit: 1, at: "unit:81" });

out["export"] = (await all(direct.export({ q }))).map(place);
out["rough_info"] = await rough.get("/v1/info", {});
out["rough_export"] = (await all(rough.export({}))).map(place);
const streamed: string[] = [];
for await (const m of rough.stream({ network: net, q, from: "oldest" })) {
  if (m.event === "record" && streamed.push(place(m.data as Row)) === (out["export"] as string[]).filter((p) => p.startsWith(net)).length) break;
}
out["rough_stream"] = streamed;

out["problems"] = [
  await problem(direct.get("/v1/search", { q: "colour:red" })), await problem(direct.get("/v1/networks/{net}/units/{seq}", { net, seq: 900 })),
  await problem(direct.get("/v1/networks/{net}/coverage", { net: "nosuch" })), await problem(all(direct.export({ q, after: "nosuch/1/1" }))),
];
try {
  await all(new Permanode(broken + "/cut", { retries: 2, retryMs: 10 }).export({}));
} catch (e) {
  out["cut"] = e instanceof IncompleteError;
}
process.stdout.write(JSON.stringify(out));

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

function place(r: Row): string { return `${r.network}/${r.seq}/${r.pos}`; }

async function problem(asked: Promise<unknown>): Promise<string> {
  try {
    await asked;
  } catch (e) {
    return e instanceof ProblemError ? `${e.problem.status} ${e.type}` : String(e);
  }
  return "no problem";
}
