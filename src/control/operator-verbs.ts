// The verbs of a running relay that need no part of their own: `status` says how it is, `fleet` how all are, `clients` who is here,
// `tenants` what was sent to whose clients in this month, `reload` reads its files again,
// `drain` moves its clients away and ends it.
// Adapts parts of the relay to verbs; no logic of either. Runs on the control thread.

import type { CertificateStatus } from '#ops/certificate-families.ts'
import { readClientQuery } from '#ops/client-list.ts'
import type { ClientsSource } from '#ops/client-pages.ts'
import type { DrainWatch } from '#ops/drain-watch.ts'
import { fleetBody, type FleetContent } from '#ops/fleet-page.ts'
import type { LinkWatch } from '#ops/link-watch.ts'
import { overviewBody, type Overview } from '#ops/overview.ts'
import type { Verb, VerbBody } from '#ops/verb.ts'
import { packageVersion } from '#ops/version.ts'
import type { Settings } from '#config/settings.ts'
import { reasonOf } from '#fleet/problem.ts'
import { publicKeyText } from '#protocol/node-key.ts'
import type { DrainService } from './drain-service.ts'
import type { Readiness } from './readiness.ts'
import type { RelayThreads } from './relay-threads.ts'
import type { ReloadService } from './reload-service.ts'
import type { Run } from './run.ts'
import { shortList } from './short-list.ts'
import type { TenantMonths } from './tenant-months.ts'

export interface StatusParts {
  readonly settings: Settings
  readonly threads: Pick<RelayThreads, 'counters'>
  readonly run: Pick<Run, 'number' | 'other'>
  readonly readiness: Pick<Readiness, 'health'>
  readonly links: Pick<LinkWatch, 'siblings'>
  /** Undefined without TLS. */
  readonly certificates: { readonly status: CertificateStatus } | undefined
  readonly drain: Pick<DrainWatch, 'isDraining' | 'numbers'>
}

/** How the relay is, for people and scripts; numbers over time are metrics. */
export function statusVerb(parts: StatusParts): Verb {
  const startedAt = new Date().toISOString()
  return {
    name: 'status',
    changes: false,
    parameters: {},
    answer: () => ({ isDone: true, body: { ...identityOf(parts), startedAt, ...stateOf(parts) } }),
  }
}

/** The same, with all relays of the fleet as this relay knows them. */
export function fleetVerb(parts: StatusParts & { readonly fleet: { readonly fleet: FleetContent } }): Verb {
  const status = statusVerb(parts)
  return {
    name: 'fleet',
    changes: false,
    parameters: {},
    answer: async (call) => {
      const { body } = await status.answer(call)
      return { isDone: true, body: { ...body, fleet: fleetBody(parts.fleet.fleet) } }
    },
  }
}

/** What the status page shows. */
export function overviewVerb(source: { overview(): Overview }): Verb {
  return {
    name: 'overview',
    changes: false,
    parameters: {},
    answer: () => ({ isDone: true, body: overviewBody(source.overview()) }),
  }
}

/** Who is here. */
export function clientsVerb(source: ClientsSource): Verb {
  return {
    name: 'clients',
    changes: false,
    parameters: { sort: 'string', limit: 'number', key: 'string', fullKeys: 'boolean' },
    answer: async ({ parameters: { sort, limit, key, fullKeys } }) => {
      const asked = readClientQuery({
        sort: textOf(sort),
        limit: textOf(limit),
        key: textOf(key),
        hasFullKeys: fullKeys === true,
      })
      if (typeof asked === 'string') return { isDone: false, body: { error: asked } }
      return { isDone: true, body: { ...(await source.list(asked)) } }
    },
  }
}

/** What was sent to the clients of each tenant in this month. */
export function tenantsVerb(months: Pick<TenantMonths, 'list' | 'month'>): Verb {
  return {
    name: 'tenants',
    changes: false,
    parameters: {},
    answer: () => {
      const tenants = months.list()
      return { isDone: true, body: { month: months.month, tenants } }
    },
  }
}

function textOf(value: boolean | number | string | undefined): string | undefined {
  return value === undefined ? undefined : `${value}`
}

export function reloadVerb(reload: ReloadService): Verb {
  return {
    name: 'reload',
    changes: true,
    parameters: {},
    answer: async () => {
      const result = await reload.reload()
      if (result.problems.length === 0) return { isDone: true, body: { ...result } }
      return { isDone: false, body: { error: 'refused; what was in use stays in use', ...result } }
    },
  }
}

/** Answers when the drain has begun, or with `wait` when no client is left. */
export function drainVerb(drain: Pick<DrainService, 'ask'>, watch: Pick<DrainWatch, 'numbers'>): Verb {
  return {
    name: 'drain',
    changes: true,
    parameters: { wait: 'boolean' },
    answer: async ({ parameters }) => {
      const { remaining } = watch.numbers()
      const drained = drain.ask()
      if (parameters['wait'] !== true) {
        drained.catch(() => undefined)
        return { isDone: true, body: { remaining } }
      }
      return await drained.then(
        (numbers) => ({ isDone: true, body: { ...numbers } }),
        (error: unknown) => ({ isDone: false, body: { error: reasonOf(error) } }),
      )
    },
  }
}

function identityOf({ run, settings: { hostname, nodeKey } }: StatusParts): VerbBody {
  return {
    version: packageVersion(),
    hostname,
    key: publicKeyText(nodeKey.publicKey),
    pid: process.pid,
    run: run.number,
    otherRun: run.other,
  }
}

function stateOf({ threads, readiness, links, certificates, drain }: StatusParts): VerbBody {
  const { isReady, checks } = readiness.health.report()
  const siblings = links.siblings()
  return {
    state: drain.isDraining ? 'draining' : isReady ? 'ready' : 'not ready',
    failing: checks.filter(({ isOk }) => !isOk).map(({ name, detail }) => `${name}: ${detail}`),
    clients: threads.counters.reduce(
      (sum, counters) => sum + counters.get('clientsCurrent') - counters.get('siblingsCurrent'),
      0,
    ),
    siblings: {
      known: siblings.length,
      up: siblings.filter(({ isUp }) => isUp).length,
      down: shortList(siblings.filter(({ isUp }) => !isUp).map(({ name }) => name)),
    },
    certificate: certificates && certificateBody(certificates.status),
    drain: drain.isDraining ? drain.numbers() : undefined,
  }
}

/** The certificate for the relay's host name, and why it was not renewed. */
function certificateBody({ certificates: [life], lastFailure }: CertificateStatus): VerbBody {
  return {
    name: life?.hostname,
    source: life?.origin,
    validFrom: life && new Date(life.notBeforeMs).toISOString(),
    validUntil: life && new Date(life.notAfterMs).toISOString(),
    failure: lastFailure,
  }
}
