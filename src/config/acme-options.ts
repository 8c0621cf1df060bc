// The options of certificates by ACME. A part of the table in `options.ts`.

import { boolean, choice, httpsUrl, text } from './option-kind.ts'
import type { OptionTable } from './option.ts'

export const ACME = {
  'acme-directory': {
    kind: httpsUrl,
    fallbackNote: "Let's Encrypt; with -certmode gcp, Google",
    about:
      'Directory of the ACME authority that issues the certificate. SSL_CERT_FILE names the authorities that its own certificate may be from',
  },
  'acme-email': {
    kind: text('an e-mail address', 'ADDRESS'),
    fallbackNote: 'required with -certmode gcp',
    about: 'E-mail address of the ACME account, for messages of the authority',
  },
  'acme-eab-kid': {
    kind: text('a key identifier', 'ID'),
    fallbackNote: 'required with -certmode gcp',
    about: 'Key identifier that binds the ACME account to an account that you have at the authority',
  },
  'acme-eab-key': {
    kind: text('a key in base64 or base64url', 'KEY'),
    fallbackNote: 'required with -certmode gcp',
    about: 'Key of -acme-eab-kid. Prefer the environment variable: users of this host can read command lines',
  },
  'acme-profile': {
    kind: text('the name of a profile', 'NAME'),
    fallbackNote: "the authority's default; shortlived for an IP address",
    about: 'Profile of the certificate, one of those that the authority offers',
  },
  'acme-ip-certs': {
    kind: boolean,
    fallback: 'false',
    about:
      'Get certificates for IP addresses: for -hostname if it is one, else also for the public addresses of this host',
  },
  'acme-challenge': {
    kind: choice('auto', 'http-01', 'tls-alpn-01'),
    fallback: 'auto',
    about:
      'How the authority verifies this relay: on port 80 (http-01) or on port 443 (tls-alpn-01). auto tries what the ports allow, and the other one after a failure',
  },
} as const satisfies OptionTable

export const ACME_OPTIONS = Object.keys(ACME) as readonly (keyof typeof ACME)[]
