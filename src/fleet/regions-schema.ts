// The shape of the fleet's file, for the reader (regions-file.ts), and as a JSON Schema for editors. What the shape cannot
// say, such as that names are unique, the reader checks.

import { isIPv4, isIPv6 } from 'node:net'
import { z } from 'zod'
import { RegionState } from './region.ts'

/** What is valid in each field, for problems and for editors. */
const EXPECTED = {
  regions: 'regions by number, such as 900:',
  code: 'a short name such as fra, of letters, digits, dots and hyphens',
  latitude: 'degrees, -90 to 90',
  longitude: 'degrees, -180 to 180',
  state: 'active, draining or off',
  preferWithinMs: 'whole milliseconds, 0 to 1000',
  nodes: 'a list of at least one relay',
  name: 'a name that is unique in the fleet, of letters, digits, dots and hyphens',
  hostname: 'a host name or an IP address',
  ipv4: 'an IPv4 address, or none',
  ipv6: 'an IPv6 address, or none',
  derpport: 'a port, 1 to 65535',
  stunport: 'a port, or -1 for none',
  canport80: 'true or false',
  certname: 'a DNS name, or sha256-raw: and 64 lower-case hex digits',
  pin: "the SHA-256 digest of the relay's certificate, 64 hex digits",
  standby: 'true or false',
  mesh: 'a host name or an IP address that siblings dial',
} as const

/** What each field is for; editors show it. */
const ABOUT: Readonly<Record<keyof typeof EXPECTED, string>> = {
  regions: "The fleet's regions by number. 900 to 999 are reserved for users' own",
  code: 'Short name, which clients show',
  latitude: 'Where the region is',
  longitude: 'Where the region is',
  state:
    'draining: clients choose another home, and still reach peers here. off: clients do not know the region. Default: active',
  preferWithinMs:
    'Clients with a home 30 ms away move here if this region is at most so many milliseconds farther. Default: no preference',
  nodes: 'The relays of the region; the first choice is first',
  name: 'Name of the relay, such as 900a; unique in the fleet',
  hostname: 'Host name that clients and siblings dial and verify',
  ipv4: 'For clients whose DNS fails; none: the relay has no IPv4 address',
  ipv6: 'For clients whose DNS fails; none: the relay has no IPv6 address',
  derpport: 'Port of DERP. Default: 443',
  stunport: 'UDP port of STUN; -1: the relay answers none. Default: 3478',
  canport80: 'The relay answers captive-portal checks on port 80',
  certname: 'Another name to verify, or sha256-raw: and the digest of the certificate',
  pin: 'Clients accept exactly the certificate with this digest; for self-signed certificates',
  standby: 'A relay of another place, for when all other relays of the region refuse',
  mesh: 'Name or address that siblings dial instead of the host name',
}

const NAME = /^[\w.-]{1,63}$/
const HOST = /^[\w.:-]{1,253}$/

// 901 without quotes is a number to YAML but meant as a name.
const name = z
  .union([z.string().regex(NAME), z.number().refine((number) => NAME.test(String(number)))])
  .transform(String)
const host = z.string().regex(HOST)
/**
 * Without control characters, since it is printed to terminals; without halves of characters, which JSON cannot have; and
 * without what YAML readers, such as Headscale's, take for the end of a line or refuse: line separators, the byte order mark
 * and the two numbers that are no character. Composed (NFC), as Terraform reads texts, so that all write the same bytes.
 */
const longName = z
  .string()
  .min(1)
  .max(100)
  .refine((text) => text.isWellFormed() && !/[\p{Cc}\p{Zl}\p{Zp}\uFEFF\uFFFE\uFFFF]/u.test(text))
  // For validators that know no Unicode properties.
  .meta({ pattern: '^[^\\u0000-\\u001f\\u007f-\\u009f\\u2028\\u2029\\ufeff\\ufffe\\uffff]*$' })
  .transform((text) => text.normalize('NFC'))

function about<T extends z.ZodType>(field: keyof typeof EXPECTED, type: T): T {
  return type.describe(`${ABOUT[field]}. Expected: ${EXPECTED[field]}`)
}

function address(format: 'ipv4' | 'ipv6', isOne: (text: string) => boolean): z.ZodType<string> {
  return z.union([z.literal('none'), z.string().refine(isOne).meta({ format })])
}

const NODE = z.strictObject({
  name: about('name', name),
  hostname: about('hostname', host),
  ipv4: about('ipv4', address('ipv4', isIPv4)).optional(),
  ipv6: about('ipv6', address('ipv6', isIPv6)).optional(),
  derpport: about('derpport', z.int().min(1).max(65_535)).optional(),
  stunport: about('stunport', z.int().min(-1).max(65_535)).optional(),
  canport80: about('canport80', z.boolean()).optional(),
  certname: about('certname', z.string().regex(/^(sha256-raw:[0-9a-f]{64}|[\w.-]{1,253})$/)).optional(),
  // As derpfleet, DERP maps and OpenSSL print it.
  pin: about('pin', z.string().regex(/^(sha256-raw:)?[\dA-Fa-f]{2}(:?[\dA-Fa-f]{2}){31}$/)).optional(),
  standby: about('standby', z.boolean()).optional(),
  mesh: about('mesh', host).optional(),
})

const REGION = z.strictObject({
  code: about('code', name),
  name: longName.describe('Long name. Default: the code').optional(),
  latitude: about('latitude', z.number().min(-90).max(90)).optional(),
  longitude: about('longitude', z.number().min(-180).max(180)).optional(),
  state: about('state', z.enum(Object.values(RegionState))).optional(),
  // More than a second is farther than any place on Earth.
  preferWithinMs: about('preferWithinMs', z.int().min(0).max(1_000)).optional(),
  nodes: about('nodes', z.array(NODE).min(1).max(1_000)),
})

/** Region numbers are for regions-check.ts, so that one that is wrong does not hide what is wrong in its region. */
export const REGIONS_SHAPE = z.strictObject({
  regions: about('regions', z.record(z.string().meta({ pattern: '^0*[1-9]\\d{0,4}$' }), REGION)),
})

export type FileRegion = z.infer<typeof REGION>
export type FileNode = z.infer<typeof NODE>

/** What is valid at a path of the file. */
export function expectedAt(path: readonly PropertyKey[]): string {
  if (path[0] !== 'regions') return EXPECTED.regions
  if (path.length === 2) return 'the fields of a region'
  if (typeof path.at(-1) === 'number') return 'the fields of a relay'
  // The long name of a region is a `name` as well.
  if (path.length === 3 && path[2] === 'name') return 'a text of 1 to 100 printable characters'
  const field = path.findLast((part) => typeof part === 'string' && part in EXPECTED)
  return EXPECTED[(field ?? 'regions') as keyof typeof EXPECTED]
}

/** The JSON Schema of the file; the same text is in regions.schema.json. */
export function regionsSchemaText(): string {
  const schema = z.toJSONSchema(REGIONS_SHAPE, { io: 'input', unrepresentable: 'any' })
  const title = "A derpfleet fleet's regions and relays (regions.yaml)"
  return `${JSON.stringify({ title, ...schema }, null, 2)}\n`
}
