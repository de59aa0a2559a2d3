// Numbers as people read them.

const nothing = "–";
const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

/** 1234 as 1,234. */
export function count(value) {
  return isNumber(value) ? Math.round(value).toLocaleString("en") : nothing;
}

/** Bytes, in steps of a thousand. */
export function bytes(value) {
  if (!isNumber(value)) return nothing;
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (Math.abs(value) < 999.5 || unit === "GB") return `${number(value)} ${unit}`;
    value /= 1000;
  }
  return nothing;
}

/** Three digits, as far as they say something. */
export function number(value) {
  if (!isNumber(value)) return nothing;
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size < 0.01) return "<0.01";
  return size >= 100 ? count(value) : String(Number(value.toPrecision(size >= 10 ? 3 : 2)));
}

export const bytesASecond = (value) => (isNumber(value) ? `${bytes(value)}/s` : nothing);
export const aSecond = (value) => (isNumber(value) ? `${number(value)}/s` : nothing);

/** Seconds in two units at most: 3 min, 2 h 5 min, 4 days. */
export function seconds(value) {
  if (!isNumber(value)) return nothing;
  if (value < 1) return value < 0.001 ? "0 s" : `${Math.round(value * 1000)} ms`;
  if (value < 100) return `${Math.round(value)} s`;
  const minutes = Math.round(value / 60);
  if (minutes < 100) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 && hours < 10 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return `${Math.round(hours / 24)} days`;
}

export const ms = (value) => (isNumber(value) && value > 0 ? `${number(value)} ms` : nothing);

export function ago(value) {
  if (!isNumber(value)) return "never";
  return value < 3 ? "now" : `${seconds(value)} ago`;
}

export function percent(share) {
  if (!isNumber(share)) return nothing;
  return share >= 0.9995 ? "100 %" : `${(share * 100).toFixed(1)} %`;
}

/** The time of day of a moment (ms since 1970), with the day where it is another one. */
export function clock(at, exact = false) {
  const date = new Date(at);
  const time = date.toLocaleTimeString("en-GB") + (exact ? `.${String(date.getMilliseconds()).padStart(3, "0")}` : "");
  return date.toDateString() === new Date().toDateString() ? time : `${date.toLocaleDateString("en-CA")} ${time}`;
}
