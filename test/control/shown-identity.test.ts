import { expect, it } from 'vitest'
import { ShownIdentity } from '#control/shown-identity.ts'
import type { IdentityForm } from '#config/settings.ts'
import { ipToBytes } from '#protocol/ip-address.ts'

const KEY = new Uint8Array(32).fill(7)
const OTHER_KEY = new Uint8Array(32).fill(8)
const V4 = { ip: ipToBytes('203.0.113.77'), port: 41_641 }
const V6 = { ip: ipToBytes('2001:db8:7:8::9'), port: 443 }

function shownAs(form: IdentityForm): ShownIdentity {
  return new ShownIdentity({ keys: form, addresses: form })
}

it.each<[IdentityForm, string | undefined, string | undefined, string | undefined]>([
  ['full', `nodekey:${'07'.repeat(32)}`, '203.0.113.77:41641', '[2001:db8:7:8::9]:443'],
  ['short', '[BwcHB]', '203.0.113.0/24', '2001:db8:7::/48'],
  ['none', undefined, undefined, undefined],
])('%s', (form, key, v4, v6) => {
  const shown = shownAs(form)
  expect([shown.key(KEY), shown.remote(V4), shown.remote(V6)]).toEqual([key, v4, v6])
})

it('hashes are the same for the same client within a run, whatever its port, and others in the next run', () => {
  const shown = shownAs('hashed')
  expect(shown.key(KEY)).toMatch(/^#[0-9a-f]{12}$/)
  expect(shown.key(KEY)).toBe(shown.key(KEY.slice()))
  expect(shown.key(KEY)).not.toBe(shown.key(OTHER_KEY))
  expect(shown.remote(V4)).toBe(shown.remote({ ...V4, port: 1 }))
  expect(shown.remote(V4)).not.toBe(shown.remote(V6))
  expect(shownAs('hashed').key(KEY)).not.toBe(shown.key(KEY))
})

it('a change holds from then on, each form for itself', () => {
  const shown = shownAs('full')
  shown.use({ keys: 'none', addresses: 'short' })
  expect([shown.key(KEY), shown.remote(V4)]).toEqual([undefined, '203.0.113.0/24'])
})

it('an unknown address is no network', () => {
  const nowhere = { ip: new Uint8Array(16), port: 0 }
  expect(shownAs('short').remote(nowhere)).toBe('')
})
