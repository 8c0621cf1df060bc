// All figures, in the order in which they are measured. A figure stands before those that use its numbers.

import type { Figure } from './figure.ts'
import { admissionStorm } from './figures/admission-storm.ts'
import { attacks } from './figures/attacks.ts'
import { baseMemory } from './figures/base-memory.ts'
import { bystander } from './figures/bystander.ts'
import { cleanRate } from './figures/clean-rate.ts'
import { clients } from './figures/clients.ts'
import { departure } from './figures/departure.ts'
import { drain } from './figures/drain.ts'
import { cpuPerFrame } from './figures/cpu-per-frame.ts'
import { keyDirectory } from './figures/key-directory.ts'
import { fairness } from './figures/fairness.ts'
import { forwarding } from './figures/forwarding.ts'
import { hundredThousand } from './figures/hundred-thousand.ts'
import { headroom } from './figures/headroom.ts'
import { goodput } from './figures/goodput.ts'
import { http } from './figures/http-pages.ts'
import { logins } from './figures/logins.ts'
import { memory } from './figures/memory.ts'
import { pages } from './figures/operator-pages.ts'
import { plain } from './figures/plain-tcp.ts'
import { presence } from './figures/presence.ts'
import { probeDelay } from './figures/probe-delay.ts'
import { soak } from './figures/soak.ts'
import { storm } from './figures/reconnect-storm.ts'
import { stun } from './figures/stun.ts'
import { threads } from './figures/threads.ts'
import { upgrade } from './figures/upgrade.ts'

export const FIGURES: readonly Figure[] = [
  cleanRate,
  goodput,
  cpuPerFrame,
  probeDelay,
  bystander,
  attacks,
  logins,
  memory,
  baseMemory,
  threads,
  storm,
  admissionStorm,
  departure,
  drain,
  upgrade,
  stun,
  http,
  pages,
  clients,
  plain,
  forwarding,
  presence,
  keyDirectory,
  headroom,
  fairness,
  hundredThousand,
  soak,
]
