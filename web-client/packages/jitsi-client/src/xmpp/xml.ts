/**
 * XML going out as plain trees, XML coming in as DOM elements read defensively.
 *
 * Here: the tree type, its conversion to DOM for strophe, and the readers all parsers use. Not here: any protocol.
 */

/** An element to be sent. A child without its own `xmlns` belongs to the namespace of its parent. */
export interface XmlNode {
  readonly name: string;
  readonly attrs: Readonly<Record<string, string>>;
  readonly children: readonly (XmlNode | string)[];
}

type AttrValue = string | number | boolean | null | undefined;
type Child = XmlNode | string | null | undefined | false | readonly Child[];

/** Builds an element; `null` and `undefined` attributes and `null`, `undefined`, `false` children are left out. */
export function x(name: string, attrs: Record<string, AttrValue> = {}, ...content: Child[]): XmlNode {
  const kept: Record<string, string> = {};
  for (const [key, value] of Object.entries(attrs)) {
    if (value !== null && value !== undefined) kept[key] = String(value);
  }
  return { name, attrs: kept, children: flatten(content) };
}

function flatten(content: readonly Child[]): (XmlNode | string)[] {
  const out: (XmlNode | string)[] = [];
  for (const item of content) {
    if (item === null || item === undefined || item === false) continue;
    if (typeof item === 'string') out.push(stripInvalid(item));
    else if (isList(item)) out.push(...flatten(item));
    else out.push(item);
  }
  return out;
}

function isList(item: XmlNode | readonly Child[]): item is readonly Child[] {
  return Array.isArray(item);
}

/** Drops what XML 1.0 cannot carry even escaped (control characters, lone surrogates): one would end the stream. */
export function stripInvalid(text: string): string {
  // eslint-disable-next-line no-control-regex
  const bad = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;
  return text.replace(bad, '');
}

/** Turns a tree into a DOM element that serialises with the literal `xmlns` attributes of the tree. */
export function toElement(node: XmlNode): Element {
  return build(document.implementation.createDocument(null, null), node, null);
}

function build(doc: XMLDocument, node: XmlNode, inherited: string | null): Element {
  const ns = node.attrs['xmlns'] ?? inherited;
  const element = doc.createElementNS(ns, node.name);
  for (const [key, value] of Object.entries(node.attrs)) {
    if (key === 'xmlns') element.setAttributeNS('http://www.w3.org/2000/xmlns/', 'xmlns', value);
    else element.setAttribute(key, stripInvalid(value));
  }
  for (const item of node.children) {
    element.appendChild(typeof item === 'string' ? doc.createTextNode(item) : build(doc, item, ns));
  }
  return element;
}

/** Parses one stanza; `null` when the text is not well-formed. */
export function parseXml(text: string): Element | null {
  const root = new DOMParser().parseFromString(text, 'text/xml').documentElement;
  return root === null || root.getElementsByTagName('parsererror').length > 0 || root.localName === 'parsererror' ? null : root;
}

/** First child element with this local name, and this namespace when one is given. */
export function child(parent: Element | null | undefined, name: string, ns?: string): Element | null {
  return children(parent, name, ns)[0] ?? null;
}

/** All child elements with this local name, and this namespace when one is given, in document order. */
export function children(parent: Element | null | undefined, name?: string, ns?: string): Element[] {
  if (!parent) return [];
  return Array.from(parent.children).filter(
    (element) => (name === undefined || element.localName === name) && (ns === undefined || element.namespaceURI === ns),
  );
}

/** Text of the first child with this name; `null` when there is no such child. */
export function childText(parent: Element | null | undefined, name: string, ns?: string): string | null {
  return child(parent, name, ns)?.textContent ?? null;
}

/** Attribute as text, `null` when absent or empty. */
export function attr(element: Element | null | undefined, name: string): string | null {
  return element?.getAttribute(name) || null;
}

/** Attribute as an integer in `min..=max`, `null` when absent or anything else. */
export function intAttr(element: Element | null | undefined, name: string, min: number, max: number): number | null {
  const text = attr(element, name);
  if (text === null || !/^-?\d{1,15}$/.test(text)) return null;
  const value = Number(text);
  return value >= min && value <= max ? value : null;
}

/** Parses JSON that must be an object; anything else is `null`. */
export function parseJsonObject(text: string | null | undefined): Record<string, unknown> | null {
  if (!text) return null;
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? value : null;
  } catch {
    return null;
  }
}

/** Whether a parsed JSON value is an object, not an array. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
