"""What tests read of an HTML page."""

from html.parser import HTMLParser


class Page(HTMLParser):
    """Collects tags with their attributes and the text, and checks that tags are closed in order."""

    VOID = frozenset({"meta", "link", "img", "br"})

    def __init__(self, source):
        super().__init__()
        self.tags, self.text, self._open = [], "", []
        self.feed(source)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if "style" not in self._open:
            self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]
