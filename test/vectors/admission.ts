// The request that a relay sends to an HTTP admission backend, and answers with their meaning.

/** For clientA at 203.0.113.7; an unknown address is the empty string. */
export const admissionRequest =
  '{"NodePublic":"nodekey:c11e1b11acc6982d13f20e5d03c760f1b30d6d5e40f993c8282e028e0be54e07","Source":"203.0.113.7"}'
export const admissionSource = '203.0.113.7'

/** Only status 200 with Allow true admits. */
export const admissionAnswers: readonly {
  readonly status: number
  readonly body: string
  readonly isAdmitted: boolean
}[] = [
  { status: 200, body: '{"Allow":true}', isAdmitted: true },
  { status: 200, body: '{"Allow":false}', isAdmitted: false },
  { status: 200, body: '{}', isAdmitted: false },
  { status: 200, body: 'not json', isAdmitted: false },
  { status: 200, body: '', isAdmitted: false },
  { status: 204, body: '{"Allow":true}', isAdmitted: false },
  { status: 403, body: '{"Allow":true}', isAdmitted: false },
  { status: 500, body: '{"Allow":true}', isAdmitted: false },
]
