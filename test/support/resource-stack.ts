// Resources that are disposed of in reverse order, as AsyncDisposableStack does, which Node 22 lacks.

export class ResourceStack implements AsyncDisposable {
  readonly #owned: (AsyncDisposable | Disposable)[] = []

  own<T extends AsyncDisposable | Disposable>(resource: T): T {
    this.#owned.push(resource)
    return resource
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const resource of this.#owned.splice(0).reverse()) {
      if (Symbol.asyncDispose in resource) await resource[Symbol.asyncDispose]()
      else resource[Symbol.dispose]()
    }
  }
}
