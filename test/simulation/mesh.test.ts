import { expect, it } from 'vitest'
import { TestMesh } from '../support/test-mesh.ts'
import { MeshScale } from './mesh-scale.ts'
import { MeshSimulation } from './mesh-simulation.ts'
import { Random } from './random.ts'

/** SIMULATION_SEED repeats a run that failed. */
const seed = Number(process.env['SIMULATION_SEED'] ?? Math.floor(Math.random() * 2 ** 31))
const RELAYS = ['eu-1', 'eu-2', 'eu-3', 'us-1', 'us-2', 'ap-1']

it.each([
  ['that watch each other', (): TestMesh => new TestMesh(...RELAYS)],
  ['that ask a directory', (): TestMesh => TestMesh.withDirectory(...RELAYS)],
])('six relays %s find every key again after random faults', { timeout: 120_000 }, (_how, makeMesh) => {
  let moved = 0
  for (let run = 0; run < 30; run++) {
    const simulation = new MeshSimulation(makeMesh(), new Random(seed + run), {
      relays: RELAYS,
      keyCount: 24,
    })
    for (let steps = 0; steps < 150; steps++) simulation.step()
    simulation.recover()
    expect(simulation.check(), `SIMULATION_SEED=${seed + run}`).toEqual([])
    moved += simulation.movedCount
  }
  expect(moved).toBeGreaterThan(30)
})

/** MESH_SCALE=500x1000000 takes some minutes and gigabytes. */
const [relays = 40, keys = 20_000] = (process.env['MESH_SCALE'] ?? '40x20000').split('x').map(Number)

it.each([
  ['that ask a directory', true, relays, keys],
  // Each relay knows every key: fleets of hundreds do not work this way, and would not fit into this process.
  ['that watch each other', false, 40, 20_000],
])(
  'relays %s find all keys after thousands of moves, deaths and losses',
  { timeout: 1_200_000 },
  (_how, hasDirectory, relays, keys) => {
    const fleet = new MeshScale(new Random(seed), { relays, keys, hasDirectory })
    fleet.disturb(relays * 50)
    const { lost, twice, hopsMax, sent, stale } = fleet.check(2_000)
    expect({ lost, twice, hopsMax }, `SIMULATION_SEED=${seed}`).toEqual({ lost: 0, twice: 0, hopsMax: 1 })
    expect(sent).toBeGreaterThan(1_900)
    expect(stale).toBeLessThan(20)
    expect(fleet.staleKeysOf(0)).toBe(0)
  },
)
