// The pages that are measured, as data: another page is another line here. Which of a relay's addresses serves a
// page is part of it; what the page answers is the relay's business.

/** Where a relay serves pages; an address that it does not have is left out. */
export interface PageAddresses {
  /** The DERP port's, with its scheme: `https://127.0.0.1:8443`. Certificates are not verified. */
  readonly derp?: string
  /** The admin port's: `http://127.0.0.1:9090`. */
  readonly admin?: string
}

export interface Page {
  readonly on: keyof PageAddresses
  readonly path: string
}

/** What clients, their probes and browsers ask for; and what operators and their tools do. */
export const PAGES: readonly Page[] = [
  { on: 'derp', path: '/derp/latency-check' },
  { on: 'derp', path: '/generate_204' },
  { on: 'derp', path: '/' },
  { on: 'admin', path: '/metrics' },
  { on: 'admin', path: '/readyz' },
  { on: 'admin', path: '/' },
]
