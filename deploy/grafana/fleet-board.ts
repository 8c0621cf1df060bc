// The board of the whole fleet: is all well, and if not, where.

import { JOB, type Board } from './board.ts'
import { stat } from './panel.ts'

export const FLEET_BOARD: Board = {
  uid: 'derpfleet-fleet',
  title: 'derpfleet / Fleet',
  description: 'All relays and regions: whether clients are served, and where to look if they are not.',
  variables: [JOB],
  rows: [
    {
      title: 'Now',
      panels: [
        stat(
          {
            title: 'Relays that do not answer',
            description: 'Relays whose admin port does not answer Prometheus.',
            unit: 'short',
            alert: 'RelayDown',
          },
          'count(up{job=~"$job"} == 0) or vector(0)',
          [
            [null, 'green'],
            [1, 'red'],
          ],
        ),
      ],
    },
  ],
}
