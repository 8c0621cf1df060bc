// Markup from templates: `markup` escapes every value that is put into it, unless the value is markup itself. What others may
// choose, such as names and reasons, so never becomes a tag. No I/O.
// The function is not named `html`, because formatters lay out the text of such templates, and spaces count here.

/** Text that is markup already. Made by `markup` alone. */
export class Markup {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }

  toString(): string {
    return this.text
  }
}

export type MarkupValue = Markup | string | number | undefined | readonly MarkupValue[]

/** Undefined values are left out; lists are joined. */
export function markup(strings: TemplateStringsArray, ...values: readonly MarkupValue[]): Markup {
  return new Markup(strings.reduce((text, part, at) => text + written(values[at - 1]) + part))
}

function written(value: MarkupValue): string {
  if (value === undefined) return ''
  if (value instanceof Markup) return value.text
  if (typeof value === 'object') return value.map(written).join('')
  return typeof value === 'number' ? `${value}` : escaped(value)
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

function escaped(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => ENTITIES[character] ?? '')
}
