// STUN messages: requests of Tailscale's clients, their answers, requests without an answer, and the samples of RFC 5769,
// whose requests come from other software.

import { bytes } from './hex.ts'

export const transactionIdLabel = 'derp-spec/stun-tx'
export const transactionId = bytes('874e8288c12a223910b9f093')

/** SOFTWARE "tailnode" and a FINGERPRINT. */
export const request = bytes(
  '000100142112a442874e8288c12a223910b9f093802200087461696c6e6f6465',
  '802800047a833033',
)

export interface AnswerVector {
  /** The address in the answer. */
  readonly ip: string
  readonly port: number
  readonly message: Buffer
}

export const answers = {
  /** Family 1, as an IPv4 client should get it. */
  ipv4: {
    ip: '203.0.113.7',
    port: 41641,
    message: bytes('0101000c2112a442874e8288c12a223910b9f09300200008000183bbea12d545'),
  },
  ipv6: {
    ip: '2001:db8::7',
    port: 41641,
    message: bytes(
      '010100182112a442874e8288c12a223910b9f09300200014000283bb0113a9fa',
      '874e8288c12a223910b9f094',
    ),
  },
  /** Family 2 with a mapped IPv4 address, as derper sends it from a dual-stack socket; clients accept it. */
  mapped: {
    ip: '203.0.113.7',
    port: 41641,
    message: bytes(
      '010100182112a442874e8288c12a223910b9f09300200014000283bb2112a442',
      '874e8288c12addc6dbb98194',
    ),
  },
} satisfies Record<string, AnswerVector>

export const ignoredRequests = {
  /** SOFTWARE "otherapp", with a correct fingerprint. */
  otherSoftware: bytes(
    '000100142112a442874e8288c12a223910b9f093802200086f74686572617070',
    '80280004fbdae960',
  ),
  noFingerprint: bytes('0001000c2112a442874e8288c12a223910b9f093802200087461696c6e6f6465'),
  wrongFingerprint: bytes(
    '000100142112a442874e8288c12a223910b9f093802200087461696c6e6f6465',
    '802800047a833032',
  ),
}

/** RFC 5769: the transaction id of sections 2.1 to 2.3, and the address of its answers. */
export const rfc5769TransactionId = bytes('b7e7a701bc34d686fa87dfae')

export const rfc5769 = {
  /** Section 2.1: SOFTWARE "STUN test client", PRIORITY, ICE-CONTROLLED, USERNAME, integrity, fingerprint. */
  request: bytes(
    '000100582112a442b7e7a701bc34d686fa87dfae802200105354554e20746573',
    '7420636c69656e74002400046e0001ff80290008932ff9b151263b36',
    '00060009',
    '6576746a3a68367659202020',
    '000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf',
  ),
  /** Section 2.2. */
  ipv4: {
    ip: '192.0.2.1',
    port: 32853,
    message: bytes(
      '0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563',
      '746f7220002000080001a147e112a643000800142b91f599fd9e90c38c7489f9',
      '2af9ba53f06be7d780280004c07d4c96',
    ),
  },
  /** Section 2.3. */
  ipv6: {
    ip: '2001:db8:1234:5678:11:2233:4455:6677',
    port: 32853,
    message: bytes(
      '010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563',
      '746f7220002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d900080014',
      'a382954e4be67bf11784c97c8292c275bfe3ed4180280004c8fb0b4c',
    ),
  },
} satisfies { request: Buffer; ipv4: AnswerVector; ipv6: AnswerVector }
