// The board of the choice of regions: where clients are at home, how far they are, and what could make them move.

import { JOB, type Board } from './board.ts'
import { named, quantileBy } from './expressions.ts'
import { heatmap, lines, stacked, stat, table } from './panel.ts'

export const REGIONS_BOARD: Board = {
  uid: 'derpfleet-regions',
  title: 'derpfleet / Region selection',
  description: 'Where clients are at home, how far they are from it, and what makes them move.',
  variables: [JOB],
  rows: [
    {
      title: 'Homes',
      panels: [
        stacked(
          {
            title: 'Clients at home',
            description: 'Clients whose home is a relay of the region.',
            unit: 'short',
          },
          {
            expr: `sum by (region) (${named('sum by (job, instance) (derp_clients_current{job=~"$job",kind="home"})')})`,
            legend: '{{region}}',
          },
        ),
        stacked(
          {
            title: 'Other sessions',
            description:
              'Sessions of clients that are at home elsewhere, and of siblings: peers that they send to are here.',
            unit: 'short',
          },
          {
            expr: `sum by (region) (${named('sum by (job, instance) (derp_clients_current{job=~"$job",kind="other"})')})`,
            legend: '{{region}}',
          },
        ),
        lines(
          {
            title: 'Changes of home',
            description:
              'Clients that made a relay of the region their home after their login (in), or ceased to (out), in a second.',
            unit: 'cps',
          },
          {
            expr: `sum by (region, direction) (${named('rate(derp_home_moves_total{job=~"$job"}[$__rate_interval])')})`,
            legend: '{{region}} {{direction}}',
          },
        ),
        lines(
          {
            title: 'Clients that are not on the first node of their region',
            description: 'The first node was down or refused them. They return to it by and by.',
            unit: 'short',
          },
          {
            expr: `sum by (region) (${named('derp_clients_not_ideal_current{job=~"$job"}')})`,
            legend: '{{region}}',
          },
        ),
      ],
    },
    {
      title: 'How far clients are',
      panels: [
        lines(
          {
            title: 'Round trip to clients, by the region that is their home',
            description:
              'Median of the smallest TCP round trips of five minutes. A high one means that a region nearer to them would help.',
            unit: 's',
          },
          {
            expr: quantileBy(0.5, 'derp_client_round_trip_by_region_seconds', 'home_region'),
            legend: '{{home_region}}',
          },
        ),
        lines(
          {
            title: 'Round trip to clients, slowest tenth',
            description: '90th percentile by the region that is their home.',
            unit: 's',
          },
          {
            expr: quantileBy(0.9, 'derp_client_round_trip_by_region_seconds', 'home_region'),
            legend: '{{home_region}}',
          },
        ),
        heatmap(
          { title: 'Round trips to clients', description: 'All clients of all relays.', unit: 's' },
          {
            expr: 'sum by (le) (increase(derp_client_round_trip_seconds_bucket{job=~"$job"}[$__rate_interval]))',
          },
        ),
        table(
          {
            title: 'Countries',
            description:
              'Round trips and STUN requests of the time range by the country of the address. `derpfleet advise` says where a region would help.',
            unit: 'short',
          },
          { country: 'Country' },
          [
            {
              title: 'Measurements',
              expr: 'sum by (country) (increase(derp_client_round_trip_by_country_seconds_count{job=~"$job"}[$__range]))',
            },
            {
              title: 'Mean round trip',
              unit: 's',
              expr: 'sum by (country) (increase(derp_client_round_trip_by_country_seconds_sum{job=~"$job"}[$__range])) / sum by (country) (increase(derp_client_round_trip_by_country_seconds_count{job=~"$job"}[$__range]))',
            },
            {
              title: 'STUN requests',
              expr: 'sum by (country) (increase(stun_requests_by_country_total{job=~"$job"}[$__range]))',
            },
          ],
        ),
      ],
    },
    {
      title: 'What clients measure and are told',
      panels: [
        lines(
          {
            title: 'STUN requests answered, by region',
            description: 'By these clients measure a region. A region without them gets no new clients.',
            unit: 'reqps',
            alert: 'StunDead',
          },
          {
            expr: `sum by (region) (${named('sum by (job, instance) (rate(stun_requests_total{job=~"$job",result="success"}[$__rate_interval]))')})`,
            legend: '{{region}}',
          },
        ),
        lines(
          {
            title: 'Headroom by region',
            description: 'The least of its relays. Clients do not know it: they choose by latency alone.',
            unit: 'percentunit',
            alert: 'HeadroomLow',
          },
          {
            expr: `min by (region) (${named('min by (job, instance) (derp_headroom_ratio{job=~"$job"})')})`,
            legend: '{{region}}',
          },
        ),
        lines(
          {
            title: 'Regions in the DERP map',
            description: 'By relay. A region whose relays are all down leaves the map.',
            unit: 'short',
            alert: 'MapStale',
          },
          { expr: 'derp_map_regions{job=~"$job"}', legend: '{{instance}}' },
        ),
        lines(
          {
            title: 'Changes of the DERP map',
            description: 'Changes of entries of regions, by cause. Clients of a changed region reconnect.',
            unit: 'short',
          },
          {
            expr: 'max by (cause) (increase(derp_map_changes_total{job=~"$job"}[$__rate_interval]))',
            legend: '{{cause}}',
          },
        ),
        stat(
          {
            title: 'Relays with a stale map',
            description: 'They see no majority of the fleet, and drop no region from the map.',
            unit: 'short',
            alert: 'MapStale',
          },
          'sum(derp_map_stale{job=~"$job"})',
          [
            [null, 'green'],
            [1, 'red'],
          ],
        ),
        table(
          {
            title: 'Regions of the file',
            description:
              'State and place as the regions file has them, and the number of relays that say so. Two rows for a region mean two different files.',
            unit: 'short',
            width: 20,
          },
          {
            region: 'Region',
            code: 'Code',
            name: 'Name',
            state: 'State',
            latitude: 'Latitude',
            longitude: 'Longitude',
          },
          [
            {
              title: 'Relays that say so',
              expr: 'count by (region, code, name, state, latitude, longitude) (derp_region_info{job=~"$job"})',
            },
          ],
        ),
      ],
    },
    {
      title: 'Between relays',
      panels: [
        lines(
          {
            title: 'Round trips between relays',
            description: 'Median of the pings of the last minute. Packets between regions take half of it.',
            unit: 's',
          },
          {
            expr: 'derp_sibling_round_trip_median_seconds{job=~"$job"}',
            legend: '{{instance}} → {{sibling}}',
          },
        ),
        lines(
          {
            title: 'Loss between relays',
            description: 'Share of the pings of the last five minutes without an answer in time.',
            unit: 'percentunit',
            alert: 'SiblingStalled',
          },
          { expr: 'derp_sibling_ping_loss_ratio{job=~"$job"}', legend: '{{instance}} → {{sibling}}' },
        ),
      ],
    },
  ],
}
