// Which relay thread tells which sibling, and what links show of siblings.

import { expect, it } from 'vitest'
import { FleetLinks } from '#control/fleet-links.ts'
import type { SiblingState } from '#mesh/sibling-report.ts'

function link(name: string, state: SiblingState, instance?: string) {
  return { name, state, key: state === 'up' ? `key of ${name}` : undefined, instance }
}

it('has one thread tell each sibling, and another when that one has lost its link', () => {
  const links = new FleetLinks()
  expect(links.note(1, [link('a', 'up', 'run'), link('b', 'dialling')])).toEqual(['a'])
  expect(links.note(0, [link('a', 'dialling'), link('b', 'up', 'run')])).toEqual(['b'])
  expect(links.tellers).toEqual(
    new Map([
      [0, ['b']],
      [1, ['a']],
    ]),
  )
  expect(links.note(0, [link('a', 'up', 'run'), link('b', 'up', 'run')])).toEqual(['a'])
  expect(links.tellers).toEqual(new Map([[0, ['a', 'b']]]))
  links.forget(0)
  expect(links.tellers).toEqual(new Map([[1, ['a']]]))
})

it('tells nothing to derpers, which name no run', () => {
  const links = new FleetLinks()
  expect(links.note(0, [link('derper', 'up')])).toEqual([])
  expect(links.evidence).toEqual([{ name: 'derper', isUp: true, key: 'key of derper', instance: undefined }])
})

it('knows of each sibling whether a link is up, is not, or is not needed', () => {
  const links = new FleetLinks()
  links.note(0, [link('a', 'waiting'), link('b', 'idle'), link('c', 'waiting')])
  links.note(1, [link('a', 'up', 'run'), link('b', 'idle'), link('c', 'dialling')])
  expect(links.evidence.map(({ name, isUp }) => [name, isUp])).toEqual([
    ['a', true],
    ['b', undefined],
    ['c', false],
  ])
})

it('knows which names are those of this relay, or of another in the list', () => {
  const links = new FleetLinks()
  links.note(0, [link('me', 'self'), link('a', 'up', 'run'), link('also a', 'alias')])
  expect(links.otherNames).toEqual(new Set(['me', 'also a']))
})
