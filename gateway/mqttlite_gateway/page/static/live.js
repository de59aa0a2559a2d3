// One stream of events from the gateway, and what it has told so far. Opened again when it is lost.

const AGAIN_MS = [1000, 2000, 4000, 8000, 15000];
const HIDDEN_MS = 60000; // a page that nobody sees needs no stream

export class Live extends EventTarget {
  constructor() {
    super();
    this.parts = new Map();
    this.stream = "";
    this.me = null;
    this._isFirst = true;
    this._tries = 0;
    this._source = null;
    this._timer = 0;
    document.addEventListener("visibilitychange", () => this._seen());
    window.addEventListener("online", () => this._again(0));
  }

  /** What is known of a kind, as [name, value], in the order in which the gateway has it. */
  all(kind) {
    const begin = kind + "/";
    return [...this.parts].filter(([key]) => key.startsWith(begin)).map(([key, value]) => [key.slice(begin.length), value]);
  }

  get(key) {
    return this.parts.get(key);
  }

  async open() {
    clearTimeout(this._timer);
    this._source?.close();
    this._source = null;
    try {
      this.me = await get("/api/me");
    } catch (error) {
      if (error.status === 401) location.replace("/login" + location.hash);
      else this._again();
      return;
    }
    this.dispatchEvent(new Event("me"));
    const source = (this._source = new EventSource("/events"));
    source.addEventListener("hello", (event) => {
      this._tries = 0;
      this._isFirst = true;
      this.stream = JSON.parse(event.data).stream;
      this._tell("here");
    });
    source.addEventListener("state", (event) => this._take(JSON.parse(event.data)));
    source.addEventListener("tail", (event) => this.dispatchEvent(new CustomEvent("tail", { detail: JSON.parse(event.data) })));
    source.addEventListener("login", () => location.replace("/login" + location.hash));
    source.addEventListener("error", () => this._again());
  }

  _take(news) {
    if (this._isFirst) {
      this._isFirst = false;
      this.parts.clear();
    }
    for (const [key, value] of Object.entries(news.set)) this.parts.set(key, value);
    for (const key of news.gone) this.parts.delete(key);
    this.dispatchEvent(new Event("parts"));
  }

  _again(ms = AGAIN_MS[Math.min(this._tries++, AGAIN_MS.length - 1)]) {
    this._source?.close();
    this._source = null;
    this.stream = "";
    this._tell("lost");
    clearTimeout(this._timer);
    this._timer = setTimeout(() => this.open(), ms);
  }

  _seen() {
    clearTimeout(this._hiding);
    if (document.hidden) {
      this._hiding = setTimeout(() => {
        this._source?.close();
        this._source = null;
        clearTimeout(this._timer);
        this._tell("asleep");
      }, HIDDEN_MS);
    } else if (!this._source) this._again(0);
  }

  _tell(state) {
    this.dispatchEvent(new CustomEvent("link", { detail: state }));
  }

  /** Have something done; the answer, or an Error in words. */
  async act(path, request) {
    return answered(await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-CSRF-Token": this.me?.csrf ?? "" },
      body: JSON.stringify(request),
    }));
  }
}

/** Ask for something. */
export async function get(path, query = {}) {
  const search = new URLSearchParams(query).toString();
  return answered(await fetch(search ? `${path}?${search}` : path, { headers: { Accept: "application/json" } }));
}

async function answered(answer) {
  let found;
  try {
    found = await answer.json();
  } catch {
    found = { error: `the gateway has answered ${answer.status}` };
  }
  if (answer.ok) return found;
  const error = new Error(found.error);
  error.status = answer.status;
  throw error;
}
