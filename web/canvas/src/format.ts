/** How times look; the same forms as refmill_web/display.py. */

import { text } from "./messages";

const two = (value: number): string => String(value).padStart(2, "0");

/** `0.2 s`, `41 s`, `1 m 12 s`, `2 h 05 m`. */
export function duration(seconds: number): string {
  if (seconds < 9.95) return text("%(seconds)s s", { seconds: Math.max(seconds, 0).toFixed(1) });
  const whole = Math.round(seconds);
  if (whole < 60) return text("%(seconds)s s", { seconds: whole });
  if (whole < 3600) return text("%(minutes)s m %(seconds)s s", { minutes: Math.floor(whole / 60), seconds: two(whole % 60) });
  return text("%(hours)s h %(minutes)s m", { hours: Math.floor(whole / 3600), minutes: two(Math.floor((whole % 3600) / 60)) });
}

/** A running clock: whole seconds, so that it does not flicker. */
export function clock(seconds: number): string {
  return duration(seconds < 10 ? Math.floor(seconds) + 0.0 : seconds).replace(/\.0(?= )/, "");
}

/** The time of day of UTC microseconds in the reader's zone. */
export function timeOfDay(micros: number): string {
  const date = new Date(micros / 1000);
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** “3 minutes ago” in the page's language. */
export function ago(seconds: number, language: string): string {
  if (seconds < 45) return text("just now");
  const format = new Intl.RelativeTimeFormat(language, { numeric: "always" });
  if (seconds < 2700) return format.format(-Math.max(1, Math.round(seconds / 60)), "minute");
  if (seconds < 72000) return format.format(-Math.max(1, Math.round(seconds / 3600)), "hour");
  return format.format(-Math.max(1, Math.round(seconds / 86400)), "day");
}
