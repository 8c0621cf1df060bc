// Makes the schemas of the stand-in providers: what Terraform has to know of the few resources that the modules use, read
// from bindings of the real providers that npm packages carry. Run by hand when a module needs another resource:
//   node test/deploy/provider-schemas/extract.ts FOLDER
// where FOLDER has the unpacked packages under the names below. Knows the form of those packages, and no more.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

interface Attribute {
  readonly Type?: unknown
  readonly Required?: boolean
  readonly Optional?: boolean
  readonly Computed?: boolean
  readonly Nesting?: string
  readonly Object?: Attributes
}
type Attributes = Record<string, Attribute>
interface Block {
  readonly Attributes: Attributes
  readonly Blocks: Record<string, { readonly Nesting: string; readonly Min: number; readonly Block: Block }>
}

interface Source {
  readonly address: string
  /** The provider's, as far as the package tells it. */
  readonly version: string
  /** The npm package, as it was installed. */
  readonly from: string
  readonly resources: readonly string[]
  /** Its nested values are attributes, and not blocks. */
  readonly hasNestedAttributes?: boolean
}

/** By provider. The folders have the same names. */
const CDKTF: Readonly<Record<string, Source>> = {
  digitalocean: {
    address: 'registry.terraform.io/digitalocean/digitalocean',
    version: '2.71.0',
    from: '@cdktf/provider-digitalocean 13.14.1',
    resources: [
      'droplet',
      'firewall',
      'reserved_ip',
      'reserved_ip_assignment',
      'reserved_ipv6',
      'reserved_ipv6_assignment',
      'record',
    ],
  },
  google: {
    address: 'registry.terraform.io/hashicorp/google',
    version: '6.50.0',
    from: '@cdktf/provider-google 16.12.1',
    resources: ['compute_address', 'compute_firewall', 'compute_instance', 'dns_record_set'],
  },
  aws: {
    address: 'registry.terraform.io/hashicorp/aws',
    version: '6.25.0',
    from: '@cdktf/provider-aws 21.22.1',
    resources: [
      'instance',
      'eip',
      'eip_association',
      'network_interface',
      'security_group',
      'vpc_security_group_ingress_rule',
      'vpc_security_group_egress_rule',
      'route53_record',
    ],
  },
  helm: {
    address: 'registry.terraform.io/hashicorp/helm',
    version: '3.1.1',
    from: '@cdktf/provider-helm 12.1.2',
    resources: ['release'],
    hasNestedAttributes: true,
  },
  cloudflare: {
    address: 'registry.terraform.io/cloudflare/cloudflare',
    version: '5.14.0',
    from: '@cdktf/provider-cloudflare 13.9.1',
    resources: ['dns_record'],
    hasNestedAttributes: true,
  },
}

const HCLOUD = {
  address: 'registry.terraform.io/hetznercloud/hcloud',
  /** The package does not tell it; this is the first with zones. */
  version: '1.54.0',
  from: '@pulumi/hcloud 1.41.0',
  resources: { primary_ip: 'primaryIp', firewall: 'firewall', server: 'server', zone_rrset: 'zoneRrset' },
  /** Blocks; Pulumi has their plural. */
  blocks: { rules: 'rule', publicNets: 'public_net', networks: 'network', applyTos: 'apply_to' } as Readonly<
    Record<string, string>
  >,
}

/** Parts of a file of cdktf, by the name of the class or of the function's structure. */
class CdktfFile {
  readonly #text: string
  readonly #types: string
  readonly #source: Source

  constructor(path: string, source: Source) {
    this.#text = readFileSync(`${path}.js`, 'utf8')
    this.#types = readFileSync(`${path}.d.ts`, 'utf8')
    this.#source = source
  }

  main(): Block {
    const [, name = ''] = /^class (\w+) extends cdktf\.Terraform(?:Resource|Provider)/m.exec(this.#text) ?? []
    const body = this.#class(name)
    return this.#block(body, body, `${name}Config`)
  }

  /** The names of the fields that must be given. */
  #required(name: string): ReadonlySet<string> {
    const text = new RegExp(`export interface ${name} [^]*?\\n\\}`).exec(this.#types)?.[0] ?? ''
    const fields = text.matchAll(/#(\w+) \w+#\w+\}[^]*?readonly \w+(\??):/g)
    return new Set([...fields].flatMap(([, field = '', mark]) => (mark === '' ? [field] : [])))
  }

  #class(name: string): string {
    const start = this.#text.indexOf(`\nclass ${name} extends`)
    return start < 0 ? '' : this.#text.slice(start, this.#text.indexOf('\n}', start))
  }

  #structure(list: string): Block {
    const name = list.replace(/List$/, '')
    const start = this.#text.indexOf(
      `\nfunction ${name.charAt(0).toLowerCase()}${name.slice(1)}ToHclTerraform(`,
    )
    const body = this.#text.slice(start, this.#text.indexOf('\n}', start))
    return this.#block(body, this.#class(`${name}OutputReference`), name)
  }

  /** What is optional may be computed, too: the packages do not tell. */
  #block(body: string, reads: string, type: string): Block {
    const block: Block = { Attributes: {}, Blocks: {} }
    const required = this.#required(type)
    const fields =
      /^ +(\w+): \{\n +value: .*\n +isBlock: (\w+),\n +type: "(\w+)",\n +storageClassType: "(\w+)",/gm
    for (const [, name = '', isBlock, kind = '', storage = ''] of body.matchAll(fields)) {
      if (NOT_OF_THE_SCHEMA.has(name)) continue
      const flag = required.has(name) ? { Required: true } : { Optional: true, Computed: true }
      if (isBlock === 'true') this.#addNested(block, { name, kind, storage, flag })
      else block.Attributes[name] = { Type: typeOf(kind, storage), ...flag }
    }
    for (const [, kind = '', name = ''] of reads.matchAll(
      /this\.get(String|Number|Boolean)Attribute\('(\w+)'\)/g,
    )) {
      block.Attributes[name] ??= { Type: SCALAR[kind.toLowerCase()], Computed: true }
    }
    return block
  }

  #addNested(
    block: Block,
    { name, kind, storage, flag }: { name: string; kind: string; storage: string; flag: Attribute },
  ): void {
    const inner = this.#structure(storage)
    const nesting = kind === 'struct' ? 'single' : kind
    if (this.#source.hasNestedAttributes) {
      block.Attributes[name] = { Nesting: nesting, Object: inner.Attributes, ...flag }
    } else {
      block.Blocks[name] = { Nesting: nesting, Min: flag.Required === true ? 1 : 0, Block: inner }
    }
  }
}

/** Terraform's own, or of no use to a provider that makes nothing. */
const NOT_OF_THE_SCHEMA: ReadonlySet<string> = new Set(['alias', 'timeouts'])

const SCALAR: Readonly<Record<string, string>> = {
  string: 'string',
  number: 'number',
  boolean: 'bool',
  any: 'dynamic',
}

function typeOf(kind: string, storage: string): unknown {
  const [, element = '', many] = /^([a-z]+)(List|Map)?$/.exec(storage) ?? []
  const scalar = SCALAR[element]
  if (scalar === undefined) throw new Error(`unknown type ${storage}`)
  return many === undefined ? scalar : [many === 'Map' ? 'map' : kind === 'set' ? 'set' : 'list', scalar]
}

function fromCdktf(folder: string, name: string, source: Source): object {
  const read = (part: string): Block =>
    new CdktfFile(join(folder, name, 'lib', part.replaceAll('_', '-'), 'index'), source).main()
  const resources = source.resources.map((one) => [`${name}_${one}`, read(one)])
  const { address, from, version } = source
  return {
    From: from,
    Address: address,
    Version: version,
    Provider: read('provider'),
    Resources: Object.fromEntries(resources),
  }
}

function fromPulumi(folder: string): object {
  const at = join(folder, 'hcloud')
  const inputs = readFileSync(join(at, 'types/input.d.ts'), 'utf8')
  const resources = Object.entries(HCLOUD.resources).map(([name, file]) => {
    const text = readFileSync(join(at, `${file}.d.ts`), 'utf8')
    const outputs = /export declare class [^]*?\n\}/.exec(text)?.[0] ?? ''
    const args = /export interface \w+Args \{[^]*?\n\}/.exec(text)?.[0] ?? ''
    const block = pulumiBlock(args, inputs)
    block.Attributes.id = { Type: 'string', Computed: true }
    for (const [, property = '', kind = ''] of outputs.matchAll(/readonly (\w+): pulumi\.Output<(\w+)>/g)) {
      const snake = snakeCase(property)
      const known = block.Attributes[snake]
      // What is never undefined has a default, or the cloud chooses it.
      if (known?.Optional === true) block.Attributes[snake] = { ...known, Computed: true }
      else if (known === undefined && kind in SCALAR)
        block.Attributes[snake] = { Type: SCALAR[kind], Computed: true }
    }
    return [`hcloud_${name}`, block]
  })
  const Provider = { Attributes: { token: { Type: 'string', Optional: true } } }
  const { from, address, version } = HCLOUD
  return {
    From: from,
    Address: address,
    Version: version,
    Provider,
    Resources: Object.fromEntries(resources),
  }
}

function pulumiBlock(args: string, inputs: string): Block {
  const block: Block = { Attributes: {}, Blocks: {} }
  for (const [, property = '', mark, type = ''] of args.matchAll(
    /^ {4}(\w+)(\??): (pulumi\.Input<[^]*?>);$/gm,
  )) {
    const flag = { Required: mark === '', Optional: mark !== '' }
    const nested = /inputs\.(\w+)/.exec(type)?.[1]
    if (nested === undefined) {
      block.Attributes[snakeCase(property)] = { Type: pulumiType(type), ...flag }
      continue
    }
    const inner = pulumiBlock(
      new RegExp(`export interface ${nested} \\{[^]*?\\n\\}`).exec(inputs)?.[0] ?? '',
      inputs,
    )
    const name = HCLOUD.blocks[property]
    if (name === undefined)
      block.Attributes[snakeCase(property)] = { Nesting: 'set', Object: inner.Attributes, ...flag }
    else block.Blocks[name] = { Nesting: 'set', Min: 0, Block: inner }
  }
  return block
}

function pulumiType(type: string): unknown {
  const [, scalar = ''] = /<(string|number|boolean)[ >]/.exec(type) ?? []
  if (type.includes('[key: string]')) return ['map', 'string']
  return type.includes('[]') ? ['set', SCALAR[scalar]] : SCALAR[scalar]
}

function snakeCase(property: string): string {
  return property.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}

const [folder = '.'] = process.argv.slice(2)
for (const [name, source] of Object.entries(CDKTF)) write(name, fromCdktf(folder, name, source))
write('hcloud', fromPulumi(folder))

function write(name: string, schema: object): void {
  writeFileSync(new URL(`${name}.json`, import.meta.url), `${JSON.stringify(schema, null, 1)}\n`)
}
