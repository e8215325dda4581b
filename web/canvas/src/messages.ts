/** Texts for people. English msgids live in `text("…")`; the page carries their translations. */

type Values = Readonly<Record<string, string | number>>;

let known: Readonly<Record<string, string>> | undefined;

function load(): Readonly<Record<string, string>> {
  const body = typeof document === "undefined" ? null : document.getElementById("messages");
  return body?.textContent ? (JSON.parse(body.textContent) as Record<string, string>) : {};
}

/** A sentence in the page's language; `%(name)s` places are filled from `values`. */
export function text(english: string, values: Values = {}): string {
  known ??= load();
  const sentence = known[english] ?? english;
  return sentence.replace(/%\((\w+)\)s|%%/g, (place: string, name?: string) =>
    name === undefined ? "%" : String(values[name] ?? place),
  );
}
