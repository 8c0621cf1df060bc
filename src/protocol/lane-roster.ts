// Who may use the lane, and who may talk to whom: the text of the operator's file. A roster with any problem is not used at all.
//
//   <43 characters of base64>=  alice        a peer, by the key of its WireGuard interface and a name
//   <43 characters of base64>=  bob  alice   another one, with a link to alice; a link is for both directions
//   nodekey:<64 hex digits>     carol  bob   keys in either form; a client of the relay that reaches peers has a line, too
//   # a comment, also at the end of a line

import { keyProblem, publicKeyFrom } from './key-list.ts'
import { keyName } from './node-key.ts'

/** More peers than one UDP port can serve. */
const PEERS_MAX = 20_000
/** A MAC is tried for each of them when a peer begins a handshake with another. */
const LINKS_MAX = 256
export const ROSTER_BYTES_MAX = 4_194_304
/** Nobody reads more, and each is a line of the log. */
const PROBLEMS_MAX = 20
const NAME = /^[A-Za-z0-9][\w.-]{0,62}$/
const NAME_EXPECTED = 'expected 1 to 63 letters, digits, dots, hyphens and underscores'

export interface RosterPeer {
  readonly key: Uint8Array
  readonly name: string
  /** Numbers of other peers of the roster, each once, whichever of the two lines has the link. */
  readonly links: readonly number[]
}

export type Roster = readonly RosterPeer[]

export type RosterText = { readonly roster: Roster } | { readonly problems: readonly string[] }

interface Line {
  readonly number: number
  readonly key: Uint8Array
  readonly name: string
  readonly links: readonly string[]
}

/** @param path is only used to name the file in problems */
export function readRoster(path: string, text: string): RosterText {
  const reader = new RosterReader()
  const problems: string[] = []
  const note = (line: number, problem: string | undefined): boolean => {
    if (problem !== undefined) problems.push(`${path}:${line}: ${problem}`)
    return problems.length < PROBLEMS_MAX
  }
  let number = 0
  for (const written of text.split('\n')) {
    number++
    const words = written.replace(/#.*/, '').trim().split(/\s+/)
    if (words[0] !== '' && !note(number, reader.addLine(number, words))) break
  }
  for (const line of reader.lines) {
    for (const name of line.links) if (!note(line.number, reader.addLink(line, name))) return { problems }
  }
  if (reader.lines.length > PEERS_MAX)
    problems.push(`${path} has ${reader.lines.length} peers; expected at most ${PEERS_MAX}`)
  if (reader.lines.length === 0 && problems.length === 0)
    problems.push(
      `${path} has no peer; expected lines of a key, a name, and the names of the peers it may reach`,
    )
  return problems.length > 0 ? { problems } : { roster: reader.roster }
}

class RosterReader {
  readonly lines: Line[] = []
  readonly #byName = new Map<string, number>()
  readonly #byKey = new Map<string, number>()
  readonly #links: Set<number>[] = []

  get roster(): Roster {
    return this.lines.map(({ key, name }, at) => ({ key, name, links: [...(this.#links[at] ?? [])] }))
  }

  /** Returns what is wrong with the line. */
  addLine(number: number, [keyText = '', name = '', ...links]: readonly string[]): string | undefined {
    const key = publicKeyFrom(keyText)
    if (key === undefined) return keyProblem(keyText)
    if (!NAME.test(name)) return `"${name.slice(0, 40)}" is no name; ${NAME_EXPECTED}`
    if (this.#byName.has(name)) return `the name ${name} again; expected one line for each peer`
    if (this.#byKey.has(keyName(key))) return `the key of ${name} again; expected one line for each key`
    this.#byName.set(name, this.lines.length)
    this.#byKey.set(keyName(key), this.lines.length)
    this.lines.push({ number, key, name, links })
    this.#links.push(new Set())
    return undefined
  }

  /** Returns what is wrong with the link. */
  addLink(line: Line, name: string): string | undefined {
    const from = this.#byName.get(line.name) ?? -1
    const to = this.#byName.get(name)
    if (to === undefined) return `a link to "${name.slice(0, 63)}"; expected the name of another line`
    if (to === from) return `a link of ${name} to itself; expected the name of another line`
    const [there, back] = [this.#links[from], this.#links[to]]
    there?.add(to)
    back?.add(from)
    const longest = Math.max(there?.size ?? 0, back?.size ?? 0)
    return longest > LINKS_MAX
      ? `more than ${LINKS_MAX} links of one peer with the link to ${name}`
      : undefined
  }
}
