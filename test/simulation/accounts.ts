// The balance of a relay's counters: every packet that came in has gone out, waits, or was dropped and counted; and
// when all clients have left, nothing is left.

import type { PlainCounter } from '#relay/counters.ts'
import { DropReason, PacketKind } from '#relay/drop-reason.ts'
import type { TestRelay } from '../support/test-relay.ts'

type TestThread = TestRelay['threads'][number]

const kinds = Object.values(PacketKind)
const reasons = Object.values(DropReason)

const gauges = [
  'connectionsCurrent',
  'clientsCurrent',
  'clientsHome',
  'keysCurrent',
  'duplicateKeys',
  'duplicateSessions',
  'watchersCurrent',
  'queuedPackets',
  'queuedBytes',
] as const satisfies readonly PlainCounter[]

/** Dropped packets of both kinds. */
function dropped(thread: TestThread, reason: DropReason): number {
  return kinds.reduce<number>((sum, kind) => sum + thread.counters.droppedPackets(reason, kind), 0)
}

/** Checks the balance of every thread, and that nothing is under way between threads. Everything must have settled. */
export function expectBalance(
  relay: TestRelay,
  expected: { sent: number; delivered: number; unknown: number; foreign: number },
): void {
  let [unknown, foreign, received, forwarded] = [0, 0, 0, 0]
  for (const thread of relay.threads) {
    const count = (name: PlainCounter): number => thread.counters.get(name)
    received += count('receivedData') + count('receivedDisco')
    forwarded += count('forwardedIn')
    unknown += dropped(thread, DropReason.unknownDestination)
    unknown += dropped(thread, DropReason.unknownDestinationForwarded)
    foreign += dropped(thread, DropReason.tenant)
    const cameIn =
      count('receivedData') + count('receivedDisco') + count('forwardedIn') + count('receivedFromThreads')
    const drops = reasons.reduce<number>((sum, reason) => sum + dropped(thread, reason), 0)
    const wentOut = count('sentData') + count('sentDisco') + count('sentToThreads')
    expectEqual(cameIn, wentOut + drops + count('queuedPackets'), 'packets in, and out, dropped or queued')
    expectEqual(
      dropped(thread, DropReason.threadQueue) + dropped(thread, DropReason.sourceInvalid),
      0,
      'avoidable drops',
    )
  }
  expectEqual(received + forwarded, expected.sent, 'packets received')
  expectEqual(unknown, expected.unknown, 'packets to unknown keys')
  expectEqual(foreign, expected.foreign, 'packets between tenants')
  expectEqual(relay.count('sentToThreads'), relay.count('receivedFromThreads'), 'packets between threads')
  const sent = relay.count('sentData') + relay.count('sentDisco')
  if (sent < expected.delivered) throw new Error(`${expected.delivered} packets arrived, ${sent} were sent`)
}

/** Checks that a relay which all clients have left holds nothing. */
export function expectNothingLeft(relay: TestRelay): void {
  for (const gauge of gauges) expectEqual(relay.count(gauge), 0, gauge)
  for (const { relay: one } of relay.threads) {
    expectEqual(one.keyCount, 0, 'keys')
    expectEqual(one.sessionCount, 0, 'sessions')
    expectEqual(one.lentBytes, 0, 'bytes lent')
  }
  expectEqual(relay.clock.waiting, 0, 'callbacks that wait')
}

function expectEqual(actual: number, expected: number, what: string): void {
  if (actual !== expected) throw new Error(`${what}: ${actual}, where ${expected} was expected`)
}
