// The first signal that asks the program to end, and what a second one does.

/** The part of `process` that is listened to. */
export interface SignalSource {
  on(signal: NodeJS.Signals, listener: (signal: NodeJS.Signals) => void): unknown
}

/** A terminal's Ctrl-C reaches a program that npm runs twice: from the terminal, and from npm a moment later. */
const SAME_SIGNAL_MS = 300

/** Settles at the first SIGTERM or SIGINT; another one, unless it is the same one again, calls `endNow`. */
export function firstStopSignal(
  source: SignalSource,
  endNow: () => void,
  now: () => number = () => performance.now(),
): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let firstMs: number | undefined
    const onSignal = (signal: NodeJS.Signals): void => {
      if (firstMs !== undefined && now() - firstMs > SAME_SIGNAL_MS) endNow()
      firstMs ??= now()
      resolve(signal)
    }
    source.on('SIGTERM', onSignal)
    source.on('SIGINT', onSignal)
  })
}
