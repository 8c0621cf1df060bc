// A complete login byte for byte: HTTP request and answer, ServerKey, ClientInfo of a client, a prober and a mesh peer,
// ServerInfo. Nonces are fixed here. A server under test uses random ones, so its ServerInfo is checked by opening the box.

import { bytes } from './hex.ts'
import { clientA, clientB, type KeyVector, meshPeer } from './keys.ts'

/** The native request without fast start. */
export const request = [
  'GET /derp HTTP/1.1',
  'Host: derp1.example.com',
  'User-Agent: Go-http-client/1.1',
  'Connection: Upgrade',
  'Upgrade: DERP',
  '',
  '',
].join('\r\n')

/** The only answer to it. */
export const switchingProtocols = [
  'HTTP/1.1 101 Switching Protocols',
  'Upgrade: DERP',
  'Connection: Upgrade',
  'Derp-Version: 2',
  'Derp-Public-Key: 3b3d63b25c5089067698624015be5eedb1870ac50963fe75a278c17d24e89367',
  '',
  '',
].join('\r\n')

/** The native request with fast start, by a client on its second-choice node; it has no answer. */
export const fastStartRequest = [
  'GET /derp HTTP/1.1',
  'Host: derp1.example.com',
  'User-Agent: Go-http-client/1.1',
  'Connection: Upgrade',
  'Derp-Fast-Start: 1',
  'Ideal-Node: 900a',
  'Upgrade: DERP',
  '',
  '',
].join('\r\n')
export const fastStartIdealNode = '900a'

/** RFC 6455 section 1.3. */
export const webSocketHandshake = {
  key: 'dGhlIHNhbXBsZSBub25jZQ==',
  accept: 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=',
}

export const serverKeyFrame = bytes(
  '010000002844455250f09f94913b3d63b25c5089067698624015be5eedb1870a',
  'c50963fe75a278c17d24e89367',
)

export interface ClientInfoVector {
  readonly from: KeyVector
  readonly json: string
  readonly nonceLabel: string
  readonly nonce: Buffer
  readonly frame: Buffer
}

/** As tailscaled sends it. */
export const clientInfo: ClientInfoVector = {
  from: clientA,
  json: '{"version":2,"CanAckPings":true}',
  nonceLabel: 'derp-spec/nonce/client-a',
  nonce: bytes('7c8ea684204ebc83f362bdb3b4b4d7c823a81de8733d10c0'),
  frame: bytes(
    '0200000068c11e1b11acc6982d13f20e5d03c760f1b30d6d5e40f993c8282e02',
    '8e0be54e077c8ea684204ebc83f362bdb3b4b4d7c823a81de8733d10c080182b',
    'c51b67fef722ac1db9c7918afec53d99845f7dfd85670757b51ac1ad51fe06b1',
    '7ba90d586bc28ade71e9496b84',
  ),
}

/** Tag and ciphertext of clientInfo. */
export const clientInfoBox = bytes(
  '80182bc51b67fef722ac1db9c7918afec53d99845f7dfd85670757b51ac1ad51',
  'fe06b17ba90d586bc28ade71e9496b84',
)

export const proberInfo: ClientInfoVector = {
  from: clientB,
  json: '{"version":2,"CanAckPings":false,"IsProber":true}',
  nonceLabel: 'derp-spec/nonce/prober-b',
  nonce: bytes('ce5cd643fc1d8dc4348ca6d16fa42ada94f6186684ad8d15'),
  frame: bytes(
    '0200000079ab411ad3317b835eee48ddbd6fad5c9b5043274300067afaf9b560',
    '6b32b37f38ce5cd643fc1d8dc4348ca6d16fa42ada94f6186684ad8d15cb8f5e',
    '22baad9e3c9583a0e6e80fb03480a933c4736ba429194e1242eb04bbdbfc21b4',
    'be4e8b6cf3f624099ec43e7fe4da19fbf2ad44996738a97c037720f069a0',
  ),
}

/** Privileged if the server has the mesh key of the vectors. */
export const meshPeerInfo: ClientInfoVector = {
  from: meshPeer,
  json: '{"meshKey":"d016a8da558741f2010c5b4785a878cf338252c29345bc77addaf064ffefab37","version":2,"CanAckPings":false}',
  nonceLabel: 'derp-spec/nonce/mesh',
  nonce: bytes('f4d4fbefd82cd31eedc0c0d15a0473794743520aa3908a98'),
  frame: bytes(
    '02000000b6ec0ea4b86de643e9c4dd35d8f77e463184e6e6e040e3bc63e03e3d',
    '4d5c976d2df4d4fbefd82cd31eedc0c0d15a0473794743520aa3908a988fd5b6',
    'ad059014e80e4805bed2ba66af36a6ae276a4624e0f35c9326b808d0a0737280',
    '23a9dd3a1ddc83ddd59cc524cfe0e96c3c6ab67945c18202d7fbd6684d204485',
    'd63873397c995a666a1fd02c3fbc398d28687b6c39605a3908182abd19b13fe4',
    '1dd31e1d792f6f5af2ff5d40277d09c0be63b2a2f88f37f9ab81cc',
  ),
}

export const clientInfos = { clientInfo, proberInfo, meshPeerInfo }

/** To clientA. */
export const serverInfo = {
  json: '{"version":2}',
  nonceLabel: 'derp-spec/nonce/serverinfo-a',
  nonce: bytes('7948ae02a0ab78adc31600df548db25d174b0280f5681be4'),
  box: bytes('163b8176e688aa7dcfa0b8caabf7b9730e53f25749e05a1a5ff6bd070f'),
  frame: bytes(
    '03000000357948ae02a0ab78adc31600df548db25d174b0280f5681be4163b81',
    '76e688aa7dcfa0b8caabf7b9730e53f25749e05a1a5ff6bd070f',
  ),
}

/** First frames after which a server closes without ServerInfo. */
export const refusedLogins = {
  /** ClientInfo of 262,145 bytes: the server closes after the header. */
  tooLong: bytes('0200040001'),
  /** ClientInfo of 55 bytes, one fewer than key and nonce. */
  tooShort: Buffer.concat([bytes('0200000037'), Buffer.alloc(55, 1)]),
  /** A valid ClientInfo with the type of SendPacket. */
  otherType: Buffer.concat([bytes('04'), clientInfo.frame.subarray(1)]),
}
