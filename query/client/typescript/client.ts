// A client of the permanode API. The types of all parameters and answers are generated from the description that the
// service serves (api.ts); this file adds what types cannot say: retries, pages, exports that are whole, streams that go on.

import type { components, paths } from "./api.js";
import { Sha256 } from "./sha256.js";

export type Schemas = components["schemas"];
export type Row = Schemas["Row"];

type Gettable = { [P in keyof paths]: paths[P] extends { get: object } ? P : never }[keyof paths];
type Operation<P extends Gettable> = paths[P] extends { get: infer O } ? O : never;
type Part<O, In extends string> = O extends { parameters: { [I in In]?: infer X } } ? (NonNullable<X> extends never ? object : NonNullable<X>) : object;
/** Variables of the path and parameters of the query of a GET, by name. */
export type Params<P extends Gettable> = Part<Operation<P>, "path"> & Part<Operation<P>, "query">;
/** What a GET answers as JSON. */
export type Answer<P extends Gettable> = Operation<P> extends { responses: { 200: { content: { "application/json": infer T } } } } ? T : never;
type Item<P extends Gettable> = Answer<P> extends infer A ? (A extends { items: (infer I)[]; next_cursor: unknown } ? I : never) : never;

/** What the service refused, with its reason. */
export class ProblemError extends Error {
  constructor(readonly problem: Schemas["Problem"]) {
    super(problem.detail);
    this.name = "ProblemError";
  }
  /** The word that stands for the type, such as "not-found". */
  get type(): string { return this.problem.type.replace("urn:permanode:problem:", ""); }
}

/** What came is not all of it. */
export class IncompleteError extends Error {}

export interface Options {
  key?: string; // sent as Authorization: Bearer
  retries?: number; // after 429, 503 or a broken connection, each time without progress; 5 if not given
  retryMs?: number; // wait where the service names none; 1000 if not given
  signal?: AbortSignal; // ends everything
  fetch?: typeof fetch;
}

export interface StreamMessage {
  event: "start" | "record" | "notice";
  id: string; // to resume from
  data: Schemas["StreamStart"] | Schemas["Item"] | Schemas["StreamNotice"];
}

export class Permanode {
  private readonly base: string;
  private readonly retries: number;

  constructor(base: string, private readonly options: Options = {}) {
    this.base = base.replace(/\/+$/, "");
    this.retries = options.retries ?? 5;
  }

  /** Asks a path of the description, such as get("/v1/networks/{net}/coverage", {net: "shimmer"}). */
  async get<P extends Gettable>(path: P, params: Params<P>): Promise<Answer<P>> {
    return (await this.send(this.url(path, params), {})).json() as Promise<Answer<P>>;
  }

  /** The bytes of an answer that is not JSON: format=raw, a payload, a table. */
  async bytes<P extends Gettable>(path: P, params: Params<P>): Promise<Uint8Array> {
    return new Uint8Array(await (await this.send(this.url(path, params), {})).arrayBuffer());
  }

  /** Where each of up to 1,000 identifiers stands. */
  async batch(ids: string[], network?: string): Promise<Schemas["BatchList"]> {
    const url = this.base + "/v1/records" + (network === undefined ? "" : "?network=" + encodeURIComponent(network));
    const sent = await this.send(url, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ ids }) });
    return sent.json() as Promise<Schemas["BatchList"]>;
  }

  /** All items of a list, page by page. */
  async *list<P extends Gettable>(path: P, params: Params<P>): AsyncGenerator<Item<P>, void> {
    for (let cursor: string | null | undefined; cursor !== null; ) {
      const page = (await this.get(path, cursor === undefined ? params : { ...params, cursor })) as unknown as { items: Item<P>[]; next_cursor: string | null };
      yield* page.items;
      cursor = page.next_cursor;
    }
  }

  /** Every row that a query finds, oldest first. A connection that breaks is taken up behind the last row. Ends without an error
   *  only if the service said that this was all and the hash of every byte is right; complete is false over a gap. */
  async *export(params: { q?: string; network?: string; after?: string } = {}): AsyncGenerator<Row, { rows: number; complete: boolean }> {
    let rows = 0, after = params.after, failed = 0;
    for (;;) {
      const answer = await this.send(this.url("/v1/export", { ...params, ...(after === undefined ? {} : { after }), format: "ndjson" }), {});
      const sum = new Sha256(), complete = answer.headers.get("X-Coverage-Complete") !== "false", unsearched = answer.headers.get("X-Unsearched");
      let part = 0, broken = "the connection ended before the export";
      try {
        for await (const line of lines(answer)) {
          const row = JSON.parse(new TextDecoder().decode(line)) as Row | Schemas["ExportEnd"];
          if ("_end" in row) {
            if (row.rows !== part || row.sha256 !== sum.hex()) throw new IncompleteError(`the export's last line names ${row.rows} rows and another hash; ${part} came`);
            return { rows, complete };
          }
          sum.update(line);
          after = `${row.network}/${row.seq}` + (row.pos === null ? "" : `/${row.pos}`);
          part++, rows++, failed = 0;
          yield row;
        }
      } catch (e) {
        if (e instanceof IncompleteError || this.options.signal?.aborted) throw e;
        broken = String(e);
      }
      if (unsearched !== null) throw new IncompleteError(unsearched);
      if (failed++ >= this.retries) throw new IncompleteError(`${broken}; go on with after=${after}`);
      await this.wait(null);
    }
  }

  /** Records as they come. Reconnects and resumes by itself: nothing is lost and nothing doubled. Ends by the signal, or with an
   *  error that no new connection would mend. */
  async *stream(params: { q?: string; network?: string; from?: "now" | "oldest"; cursor?: string } = {}): AsyncGenerator<StreamMessage, void> {
    let last: string | undefined;
    for (let failed = 0; ; ) {
      try {
        const answer = await this.send(this.url("/v1/stream", params), last === undefined ? {} : { headers: { "Last-Event-ID": last } });
        let event = "", data = "", id: string | undefined;
        for await (const bytes of lines(answer)) {
          const line = new TextDecoder().decode(bytes).replace(/\r?\n$/, "");
          if (line.startsWith("id: ")) id = line.slice(4);
          else if (line.startsWith("event: ")) event = line.slice(7);
          else if (line.startsWith("data: ")) data = line.slice(6);
          else if (line === "") {
            last = id ?? last;
            if (event === "end" && !["slow", "shutdown"].includes((JSON.parse(data) as Schemas["StreamEnd"]).reason)) throw new IncompleteError(data);
            failed = 0;
            if (data !== "" && event !== "end") yield { event, id: last, data: JSON.parse(data) } as StreamMessage;
            event = data = "", id = undefined;
          }
        }
      } catch (e) {
        if (e instanceof IncompleteError || e instanceof ProblemError || this.options.signal?.aborted || failed++ >= this.retries) throw e;
      }
      await this.wait(null);
    }
  }

  private url(path: string, params: object): string {
    const query = new URLSearchParams(), given = params as Record<string, unknown>;
    const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(given[name])));
    for (const [name, value] of Object.entries(given)) {
      if (value !== undefined && !path.includes(`{${name}}`)) query.set(name, Array.isArray(value) ? value.join(",") : String(value));
    }
    return this.base + filled + (query.size > 0 ? "?" + query.toString() : "");
  }

  /** Sends a request until it is answered with something else than "not now". */
  private async send(url: string, init: RequestInit): Promise<Response> {
    const headers = new Headers(init.headers), { key, signal } = this.options;
    if (key !== undefined) headers.set("Authorization", "Bearer " + key);
    for (let failed = 0; ; failed++) {
      let answer: Response;
      try {
        answer = await (this.options.fetch ?? fetch)(url, { ...init, headers, redirect: "error", signal: signal ?? null });
      } catch (e) {
        if (signal?.aborted || failed >= this.retries) throw e;
        await this.wait(null);
        continue;
      }
      if (answer.ok) return answer;
      const text = await answer.text();
      if ((answer.status === 429 || answer.status === 503) && failed < this.retries) {
        await this.wait(answer.headers.get("Retry-After"));
        continue;
      }
      if (answer.headers.get("Content-Type") !== "application/problem+json") throw new Error(`${url} answers ${answer.status} ${text.slice(0, 200)}`);
      throw new ProblemError(JSON.parse(text) as Schemas["Problem"]);
    }
  }

  private wait(seconds: string | null): Promise<void> {
    const ms = seconds === null || Number.isNaN(Number(seconds)) ? this.options.retryMs ?? 1000 : Number(seconds) * 1000;
    return new Promise((done) => {
      setTimeout(done, Math.min(ms, 60_000));
      this.options.signal?.addEventListener("abort", () => done(), { once: true });
    });
  }
}

/** Whole lines of a body, each with its end; what comes behind the last end is dropped: it is no whole line. */
async function* lines(answer: Response): AsyncGenerator<Uint8Array, void> {
  const reader = answer.body!.getReader();
  try {
    for (let rest = new Uint8Array(0); ; ) {
      const { done, value } = await reader.read();
      if (done) return;
      let from = 0;
      for (let at = value.indexOf(10); at >= 0; at = value.indexOf(10, from)) {
        yield joined(rest, value.subarray(from, at + 1));
        from = at + 1, rest = new Uint8Array(0);
      }
      rest = joined(rest, value.subarray(from));
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(a.length + b.length);
  all.set(a);
  all.set(b, a.length);
  return all;
}
