// The generator's arguments for clients that log in and then stay, idle, until their process is ended.

/** Longer than any run. */
const HOLD_SECONDS = 86_400

export interface HeldClients {
  readonly count: number
  /** Of the login file. */
  readonly loginFrom: number
  /** After the last login, before the generator says that all are there. */
  readonly settleSeconds: number
}

export function heldClientArguments({ count, loginFrom, settleSeconds }: HeldClients): string[] {
  const phases = ['--phases', 'fresh,quiet', '--settle', `${settleSeconds}`, '--quiet', `${HOLD_SECONDS}`]
  return ['--hold', `${count}`, '--login-from', `${loginFrom}`, ...phases]
}
