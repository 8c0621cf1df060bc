// Places where a relay may be rented: cities in which at least one of the large clouds, or several of the smaller ones, have a
// data centre. For `derpfleet advise`; an operator with other places gives a file of them.

import type { Place } from './distance.ts'

export interface CloudPlace extends Place {
  readonly name: string
}

/** Name, latitude and longitude. */
const TABLE = `
Amsterdam 52.4 4.9; Ashburn 39.0 -77.5; Athens 38.0 23.7; Atlanta 33.7 -84.4; Auckland -36.8 174.8; Bahrain 26.1 50.6
Bangkok 13.8 100.5; Beijing 39.9 116.4; Bengaluru 13.0 77.6; Berlin 52.5 13.4; Bogotá 4.7 -74.1; Bucharest 44.4 26.1
Buenos Aires -34.6 -58.4; Cape Town -33.9 18.4; Chennai 13.1 80.3; Chicago 41.9 -87.6; Copenhagen 55.7 12.6; Dallas 32.8 -96.8
Delhi 28.6 77.2; Denver 39.7 -105.0; Doha 25.3 51.5; Dubai 25.2 55.3; Dublin 53.3 -6.3; Frankfurt 50.1 8.7
Hanoi 21.0 105.8; Helsinki 60.2 24.9; Hong Kong 22.3 114.2; Honolulu 21.3 -157.9; Hyderabad 17.4 78.5; Istanbul 41.0 29.0
Jakarta -6.2 106.8; Johannesburg -26.2 28.0; Kuala Lumpur 3.1 101.7; Kyiv 50.5 30.5; Lagos 6.5 3.4; Lima -12.0 -77.0
Lisbon 38.7 -9.1; London 51.5 -0.1; Los Angeles 34.1 -118.2; Madrid 40.4 -3.7; Manila 14.6 121.0; Marseille 43.3 5.4
Melbourne -37.8 145.0; Mexico City 19.4 -99.1; Miami 25.8 -80.2; Milan 45.5 9.2; Montréal 45.5 -73.6; Moscow 55.8 37.6
Mumbai 19.1 72.9; Nairobi -1.3 36.8; New York 40.7 -74.0; Osaka 34.7 135.5; Oslo 59.9 10.8; Paris 48.9 2.4
Perth -31.9 115.9; Phoenix 33.4 -112.1; Portland 45.5 -122.7; Prague 50.1 14.4; Querétaro 20.6 -100.4; Riyadh 24.7 46.7
Salt Lake City 40.8 -111.9; Santiago -33.4 -70.7; São Paulo -23.6 -46.6; Seattle 47.6 -122.3; Seoul 37.6 127.0; Shanghai 31.2 121.5
Silicon Valley 37.4 -122.0; Singapore 1.4 103.8; Sofia 42.7 23.3; Stockholm 59.3 18.1; Sydney -33.9 151.2; Taipei 25.0 121.6
Tbilisi 41.7 44.8; Tel Aviv 32.1 34.8; Tokyo 35.7 139.7; Toronto 43.7 -79.4; Vancouver 49.3 -123.1; Vienna 48.2 16.4
Warsaw 52.2 21.0; Zürich 47.4 8.5`

export const CLOUD_PLACES: readonly CloudPlace[] = TABLE.trim()
  .split(/[;\n]/)
  .map((entry) => {
    const words = entry.trim().split(' ')
    const [latitude = 0, longitude = 0] = words.splice(-2).map(Number)
    return { name: words.join(' '), latitude, longitude }
  })
