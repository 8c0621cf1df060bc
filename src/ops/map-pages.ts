// The fleet's DERP map on the admin port: the page for each form, with its version, entity tag and signature in headers, and
// the signature as a page of its own. What the map is comes from its owner. An error is plain text and never JSON, since
// Headscale takes any JSON object for a map.

import type { AdminRequest, Page, PageAnswer } from './admin-page.ts'

/** A map in one form. */
export interface ServedMap {
  readonly text: string
  readonly version: string
  readonly etag: string
  /** In base64; undefined if the fleet has no key for it. */
  readonly signature: string | undefined
}

export interface MapSource {
  map(form: 'json' | 'headscale' | 'policy'): ServedMap
  /** Regions may be gone that the map still has. */
  readonly isStale: boolean
}

const FORMS = {
  '/derpmap.json': { form: 'json', contentType: 'application/json', about: "the fleet's DERP map" },
  '/derpmap.yaml': {
    form: 'headscale',
    contentType: 'application/yaml',
    about: 'the same for derp.paths of Headscale',
  },
  '/derpmap.policy': {
    form: 'policy',
    contentType: 'text/plain; charset=utf-8',
    about: "the same for Tailscale's policy file",
  },
} as const

/** The same pages as data, for a server that answers by itself as long as the map does not change. */
export function mapAnswers(source: MapSource): readonly (PageAnswer & { readonly path: string })[] {
  const { isStale } = source
  return Object.entries(FORMS).flatMap(([path, { form, contentType }]) => {
    const map = source.map(form)
    return [
      { path, ...mapAnswer({}, map, { contentType, isStale }) },
      { path: `${path}.sig`, ...signatureAnswer(map) },
    ]
  })
}

export function mapPages(source: MapSource): readonly Page[] {
  return Object.entries(FORMS).flatMap(([path, { form, contentType, about }]) => [
    {
      path,
      about,
      answer: (request: AdminRequest) =>
        mapAnswer(request, source.map(form), { contentType, isStale: source.isStale }),
    },
    {
      path: `${path}.sig`,
      about: 'its Ed25519 signature in base64',
      answer: () => signatureAnswer(source.map(form)),
    },
  ])
}

function mapAnswer(
  { ifNoneMatch }: Partial<AdminRequest>,
  { text, version, etag, signature }: ServedMap,
  { contentType, isStale }: { readonly contentType: string; readonly isStale: boolean },
): PageAnswer {
  const headers = {
    ETag: etag,
    // A cache asks each time, and is mostly told that nothing has changed.
    'Cache-Control': 'no-cache',
    'Derpfleet-Map-Version': version,
    ...(signature === undefined ? {} : { 'Derpfleet-Map-Signature': signature }),
    ...(isStale ? { 'Derpfleet-Map-Stale': 'true' } : {}),
  }
  if (matches(ifNoneMatch, etag)) return { status: 304, contentType, text: '', headers }
  return { status: 200, contentType, text, headers }
}

/** Weak tags match as well: intermediaries that compress make them so. */
function matches(ifNoneMatch: string | undefined, etag: string): boolean {
  const tags = new Set((ifNoneMatch ?? '').split(',').map((tag) => tag.trim().replace(/^W\//, '')))
  return tags.has(etag) || tags.has('*')
}

function signatureAnswer({ signature, etag }: ServedMap): PageAnswer {
  const contentType = 'text/plain; charset=utf-8'
  if (signature !== undefined)
    return { status: 200, contentType, text: `${signature}\n`, headers: { ETag: etag } }
  return { status: 404, contentType, text: 'this fleet has no key for signatures; see -map-key-file\n' }
}
