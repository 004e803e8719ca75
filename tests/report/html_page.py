"""Reads a page as a browser would: what it would load, its images, its tables."""

from html.parser import HTMLParser


class Page(HTMLParser):
    """loads: every address that a browser would fetch. images: those of images. tables: numbers by the table's id."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.images, self.links, self.alts, self.tags = [], [], [], [], set()
        self.tables, self._table, self.text = {}, None, []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.tags.add(tag)
        self.loads += [given[name] for name in ("src", "srcset", "data", "poster", "action") if name in given]
        if tag == "link":
            self.loads.append(given.get("href"))
        if tag == "a":
            self.links.append(given.get("href"))
        if tag == "img":
            self.alts.append(given.get("alt"))
        if tag in ("img", "source"):
            self.images.append(given.get("src") or given.get("srcset"))
        if tag == "table" and "id" in given:
            self._table = self.tables.setdefault(given["id"], [])
        if tag == "tr" and self._table is not None:
            self._table.append([])
        if tag == "data" and self._table is not None:
            self._table[-1].append(float(given["value"]))

    def handle_endtag(self, tag):
        if tag == "table":
            self._table = None

    def handle_data(self, data):
        self.text.append(data)

    def numbers(self, section):
        """The rows of a section's table, without its head."""
        return [row for row in self.tables[f"numbers-{section}"] if row]
