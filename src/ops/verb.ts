// What an operator may ask of a running relay by a command: the name of the verb, its parameters, and what it does. A verb
// that only reads is a GET, one that changes something is a POST. The server checks names and parameters, and writes the
// audit line (verb-server.ts); who may call is decided by the permissions of the socket.

/** JSON of an answer. */
export type VerbBody = Readonly<Record<string, unknown>>

export interface VerbCall {
  /** Only those that the verb has, each of its type. */
  readonly parameters: Readonly<Record<string, boolean | number | string>>
  /** Aborted when the caller has gone. */
  readonly signal: AbortSignal
}

export interface VerbAnswer {
  /** False: the relay did not do it, and the body says why. */
  readonly isDone: boolean
  readonly body: VerbBody
}

export interface Verb {
  /** `reload` is called at /v1/reload. */
  readonly name: string
  /** Whether it changes anything; such a call is logged at info, one that only reads at debug. */
  readonly changes: boolean
  /** Its parameters and their types; all of them may be left out. */
  readonly parameters: Readonly<Record<string, 'boolean' | 'number' | 'string'>>
  /** May take as long as it needs. An error is a fault of this program. */
  answer(call: VerbCall): Promise<VerbAnswer> | VerbAnswer
}
