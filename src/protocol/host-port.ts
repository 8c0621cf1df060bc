// A host and a port as text. An address of IPv6 stands in brackets (RFC 3986 §3.2.2). Reads nothing and checks nothing.

/** As in a URL or a Host header: `relay.example`, `203.0.113.7`, `[2001:db8::7]`. */
export function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host
}

/** `203.0.113.7:443`, `[2001:db8::7]:443`. */
export function hostPortText(host: string, port: number): string {
  return `${bracketed(host)}:${port}`
}
