import { expect, it } from 'vitest'
import { readRoster } from '#protocol/lane-roster.ts'
import { publicKeyText } from '#protocol/node-key.ts'
import { clientA, clientB } from '../vectors/keys.ts'

const A = Buffer.from(clientA.publicKey).toString('base64')
const B = publicKeyText(clientB.publicKey)

it('knows keys in both forms, comments, and links of either line', () => {
  const read = readRoster('roster', `# home\n${A} alice bob # a phone\r\n\n${B} bob alice\n`)
  expect(read).toEqual({
    roster: [
      { key: new Uint8Array(clientA.publicKey), name: 'alice', links: [1] },
      { key: new Uint8Array(clientB.publicKey), name: 'bob', links: [0] },
    ],
  })
  const back = readRoster('roster', `${A} alice\n${B} bob alice\n`)
  expect('roster' in back && back.roster.map(({ links }) => links)).toEqual([[1], [0]])
})

it.each([
  ['nothing', '# nobody\n', /^roster has no peer; expected lines/],
  ['no key', 'alice bob\n', /^roster:1: "alice" is no key; expected/],
  ['a private key', `privkey:${'1'.repeat(64)} alice\n`, /^roster:1: a private key; expected/],
  ['no name', `${A}\n`, /^roster:1: "" is no name; expected/],
  ['a name twice', `${A} alice\n${B} alice\n`, /^roster:2: the name alice again; expected/],
  ['a key twice', `${A} alice\n${A} bob\n`, /^roster:2: the key of bob again; expected/],
  ['a link to nobody', `${A} alice bob\n`, /^roster:1: a link to "bob"; expected/],
  ['a link to itself', `${A} alice alice\n`, /^roster:1: a link of alice to itself; expected/],
])('names the line of a mistake: %s', (_, text, problem) => {
  const read = readRoster('roster', text)
  expect('problems' in read ? read.problems.join('\n') : '').toMatch(problem)
})

it('has no more than so many problems, and no more than so many links of one peer', () => {
  const wrong = readRoster('roster', 'alice bob\n'.repeat(500))
  expect('problems' in wrong && wrong.problems.length).toBe(20)
  const key = (n: number): string => `nodekey:${n.toString(16).padStart(64, '0')}`
  const all = Array.from({ length: 300 }, (_, n) => `${key(n + 2)} p${n} hub\n`)
  const hub = readRoster('roster', `${key(1)} hub\n${all.join('')}`)
  expect('problems' in hub && hub.problems[0]).toMatch(/^roster:258: more than 256 links of one peer/)
})
