// The list of pages that are measured, and the address of the relay that serves each of them. Responses are not checked
// beyond their status.

/** The addresses at which a relay serves pages. One that it does not have is left out. */
export interface PageAddresses {
  /** Of the DERP port, with the scheme: `https://127.0.0.1:8443`. Certificates are not verified. */
  readonly derp?: string
  /** Of the admin port: `http://127.0.0.1:9090`. */
  readonly admin?: string
}

export interface Page {
  readonly on: keyof PageAddresses
  readonly path: string
}

/** Pages for clients, probes and browsers; then those for operators and their tools. */
export const PAGES: readonly Page[] = [
  { on: 'derp', path: '/derp/latency-check' },
  { on: 'derp', path: '/generate_204' },
  { on: 'derp', path: '/' },
  { on: 'admin', path: '/metrics' },
  { on: 'admin', path: '/readyz' },
  { on: 'admin', path: '/' },
]
