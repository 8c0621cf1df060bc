// Where the people of each country are, for distances to regions: the middle of where most of them live, in whole degrees, and
// how far a typical one is from it, in hundreds of kilometres. Written by hand; a test compares it with geoip-lite's tables of
// cities. A coarse table is enough: the paths that it stands for differ more than it does. Runs wherever it is asked.

import type { Place } from './distance.ts'

/** A country as a place, and the distance of a typical person from there. */
export interface CountryPlace extends Place {
  readonly spreadKm: number
}

/** Two letters (ISO 3166, and XK), latitude, longitude, spread in km. 0: less than 50. */
const TABLE = [
  'AD 42 2 0,AE 25 55 100,AF 35 68 300,AG 17 -62 0,AI 18 -63 0,AL 41 20 100,AM 40 45 100,AO -10 15 400',
  'AQ -78 167 1000,AR -34 -60 500,AS -14 -171 0,AT 48 15 200,AU -34 146 900,AW 12 -70 0,AX 60 20 0,AZ 40 49 200',
  'BA 44 18 100,BB 13 -60 0,BD 24 90 200,BE 51 4 100,BF 12 -2 200,BG 43 25 200,BH 26 51 0,BI -3 30 100',
  'BJ 7 2 200,BL 18 -63 0,BM 32 -65 0,BN 5 115 0,BO -17 -66 300,BQ 12 -68 0,BR -20 -46 800,BS 25 -77 200',
  'BT 27 90 100,BV -54 3 0,BW -24 26 200,BY 54 28 200,BZ 17 -89 100,CA 46 -83 1300,CC -12 97 0,CD -5 20 800',
  'CF 5 19 200,CG -4 15 200,CH 47 8 100,CI 6 -4 200,CK -21 -160 0,CL -34 -71 400,CM 4 11 300,CN 32 114 800',
  'CO 6 -75 300,CR 10 -84 100,CU 22 -80 300,CV 15 -24 100,CW 12 -69 0,CX -10 106 0,CY 35 33 0,CZ 50 15 100',
  'DE 51 9 300,DJ 12 43 0,DK 56 11 100,DM 15 -61 0,DO 19 -70 100,DZ 36 3 300,EC -1 -79 200,EE 59 26 100',
  'EG 30 31 200,EH 27 -13 0,ER 15 39 100,ES 40 -3 400,ET 9 39 300,FI 61 25 200,FJ -18 178 100,FK -52 -58 0',
  'FM 7 158 200,FO 62 -7 0,FR 47 3 400,GA 0 10 200,GB 52 -1 200,GD 12 -62 0,GE 42 44 200,GF 5 -52 100',
  'GG 49 -3 0,GH 6 -1 200,GI 36 -5 0,GL 64 -52 300,GM 13 -16 100,GN 10 -13 200,GP 16 -62 0,GQ 3 9 200',
  'GR 38 23 200,GS -54 -37 0,GT 15 -91 100,GU 13 145 0,GW 12 -16 0,GY 7 -58 100,HK 22 114 0,HM -53 73 0',
  'HN 15 -87 100,HR 45 16 200,HT 19 -72 100,HU 47 19 100,ID -6 109 600,IE 53 -7 100,IL 32 35 100,IM 54 -5 0',
  'IN 22 78 800,IO -7 72 0,IQ 33 44 200,IR 35 51 400,IS 64 -22 0,IT 43 11 400,JE 49 -2 0,JM 18 -77 0',
  'JO 32 36 0,JP 35 138 300,KE -1 37 200,KG 42 74 200,KH 12 105 100,KI 1 173 0,KM -12 43 0,KN 17 -63 0',
  'KP 39 126 100,KR 37 127 100,KW 29 48 0,KY 19 -81 0,KZ 46 74 700,LA 18 103 200,LB 34 36 0,LC 14 -61 0',
  'LI 47 10 0,LK 7 80 100,LR 6 -11 100,LS -29 28 0,LT 55 24 100,LU 50 6 0,LV 57 24 100,LY 32 14 300',
  'MA 34 -6 200,MC 44 7 0,MD 47 29 100,ME 42 19 0,MF 18 -63 0,MG -19 47 300,MH 7 171 0,MK 42 21 0',
  'ML 13 -8 200,MM 17 96 300,MN 48 107 100,MO 22 114 0,MP 15 146 0,MQ 15 -61 0,MR 18 -16 200,MS 17 -62 0',
  'MT 36 14 0,MU -20 57 0,MV 4 73 0,MW -15 34 200,MX 21 -101 500,MY 3 102 300,MZ -21 34 500,NA -22 17 200',
  'NC -22 166 0,NE 14 3 300,NF -29 168 0,NG 7 5 300,NI 12 -86 100,NL 52 5 100,NO 60 10 300,NP 28 85 100',
  'NR -1 167 0,NU -19 -170 0,NZ -39 175 400,OM 23 58 200,PA 9 -80 100,PE -12 -77 300,PF -18 -150 0,PG -7 146 300',
  'PH 14 121 300,PK 31 72 400,PL 52 19 200,PM 47 -56 0,PN -25 -130 0,PR 18 -66 0,PS 32 35 0,PT 40 -8 100',
  'PW 7 134 0,PY -25 -57 100,QA 25 51 0,RE -21 55 0,RO 45 26 200,RS 45 20 100,RU 56 45 900,RW -2 30 0',
  'SA 24 45 500,SB -9 160 100,SC -5 55 0,SD 15 33 300,SE 59 16 300,SG 1 104 0,SH -16 -6 0,SI 46 15 0',
  'SJ 78 16 0,SK 48 18 100,SL 8 -13 100,SM 44 12 0,SN 15 -17 100,SO 4 45 400,SR 6 -55 0,SS 5 31 200',
  'ST 0 7 0,SV 14 -89 0,SX 18 -63 0,SY 35 37 200,SZ -26 31 0,TC 22 -72 0,TD 12 15 200,TF -49 70 0',
  'TG 7 1 100,TH 14 101 300,TJ 39 69 100,TK -9 -172 0,TL -9 126 0,TM 38 58 200,TN 36 10 100,TO -21 -175 0',
  'TR 40 31 400,TT 11 -61 0,TV -8 179 0,TW 24 121 100,TZ -6 38 400,UA 49 32 300,UG 0 33 100,UM 19 167 0',
  'US 39 -92 1500,UY -35 -56 100,UZ 41 68 300,VA 42 12 0,VC 13 -61 0,VE 10 -68 300,VG 18 -65 0,VI 18 -65 0',
  'VN 16 106 500,VU -18 168 0,WF -13 -176 0,WS -14 -172 0,XK 43 21 0,YE 15 45 200,YT -13 45 0,ZA -28 27 500',
  'ZM -14 28 300,ZW -18 31 200',
]

const PLACES: ReadonlyMap<string, CountryPlace> = new Map(
  TABLE.flatMap((line) => line.split(',')).map((entry) => {
    const [country = '', ...numbers] = entry.trim().split(' ')
    const [latitude = 0, longitude = 0, spreadKm = 0] = numbers.map(Number)
    return [country, { latitude, longitude, spreadKm }]
  }),
)

/** Undefined: no such country. */
export function placeOf(country: string): CountryPlace | undefined {
  return PLACES.get(country)
}

/** All countries of the table. */
export function countriesWithPlace(): readonly string[] {
  return [...PLACES.keys()]
}
