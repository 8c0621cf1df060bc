// The keys of all vectors in all their text forms, and the mesh key. Each private key is the SHA-256 of a public label:
// never use them outside tests.

import { bytes } from './hex.ts'

export interface KeyVector {
  /** SHA-256 of this text, clamped, is the private key. */
  readonly label: string
  readonly privateKey: Buffer
  readonly publicKey: Buffer
  /** As logs name it. */
  readonly short: string
}

export const server: KeyVector = {
  label: 'derp-spec/priv/server',
  privateKey: bytes('f832954f5b399b2130fde8cd710a64dfd377fd9a84abb964238d8d4177f08767'),
  publicKey: bytes('3b3d63b25c5089067698624015be5eedb1870ac50963fe75a278c17d24e89367'),
  short: '[Oz1js]',
}

export const clientA: KeyVector = {
  label: 'derp-spec/priv/client-a',
  privateKey: bytes('28cb153c21609cafd8bafe0e312dd6dadcd5d9f8537f9afeb1eb316f5cbb6944'),
  publicKey: bytes('c11e1b11acc6982d13f20e5d03c760f1b30d6d5e40f993c8282e028e0be54e07'),
  short: '[wR4bE]',
}

export const clientB: KeyVector = {
  label: 'derp-spec/priv/client-b',
  privateKey: bytes('e0a4bc6aa1f29dc206f39db3e76ef8c28f256f7b69b9c225da330d4a552ada42'),
  publicKey: bytes('ab411ad3317b835eee48ddbd6fad5c9b5043274300067afaf9b5606b32b37f38'),
  short: '[q0Ea0]',
}

export const meshPeer: KeyVector = {
  label: 'derp-spec/priv/mesh-peer',
  privateKey: bytes('c801a5015fb935fb437d399dd960eea258b81fdd5dcb96a4737e2811dd44897d'),
  publicKey: bytes('ec0ea4b86de643e9c4dd35d8f77e463184e6e6e040e3bc63e03e3d4d5c976d2d'),
  short: '[7A6ku]',
}

export const keyVectors = { server, clientA, clientB, meshPeer }

export const meshKeyLabel = 'derp-spec/mesh-key'
export const meshKey = bytes('d016a8da558741f2010c5b4785a878cf338252c29345bc77addaf064ffefab37')

/** The server's keys as typed text. */
export const serverPublicText = 'nodekey:3b3d63b25c5089067698624015be5eedb1870ac50963fe75a278c17d24e89367'
export const serverPrivateText = 'privkey:f832954f5b399b2130fde8cd710a64dfd377fd9a84abb964238d8d4177f08767'

/** The server's key file: tab-indented, without a newline at its end. */
export const serverKeyFile = `{\n\t"PrivateKey": "${serverPrivateText}"\n}`

/** The agreement of server and clientA: the X25519 secret, and the box key that HSalsa20 derives from it. */
export const agreement = {
  sharedSecret: bytes('b8e0a9183569ee48a40b0643243ff644ec57788eabaf784818e9341cbdde5f63'),
  boxKey: bytes('b06f66b625c5e923dcf6e78a4cf3335806ab1bd5e9229e09b66430e92d28213f'),
}
