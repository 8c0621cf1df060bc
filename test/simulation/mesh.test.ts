import { expect, it } from 'vitest'
import { TestMesh } from '../support/test-mesh.ts'
import { MeshSimulation } from './mesh-simulation.ts'
import { Random } from './random.ts'

/** SIMULATION_SEED repeats a run that failed. */
const seed = Number(process.env['SIMULATION_SEED'] ?? Math.floor(Math.random() * 2 ** 31))
const RELAYS = ['eu-1', 'eu-2', 'eu-3', 'us-1', 'us-2', 'ap-1']

it.each([
  ['that watch each other', (): TestMesh => new TestMesh(...RELAYS)],
  ['that ask a directory', (): TestMesh => TestMesh.withDirectory(...RELAYS)],
])('six relays %s find every key again after whatever happens', { timeout: 120_000 }, (_how, makeMesh) => {
  for (let run = 0; run < 8; run++) {
    const simulation = new MeshSimulation(makeMesh(), new Random(seed + run), {
      relays: RELAYS,
      keyCount: 24,
    })
    for (let steps = 0; steps < 150; steps++) simulation.step()
    simulation.quieten()
    expect(simulation.judge(), `SIMULATION_SEED=${seed + run}`).toEqual([])
  }
})
