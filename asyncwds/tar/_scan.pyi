from asyncwds.tar.scanner import Scanner, SpanScanner

take_run: Scanner
find_spans: SpanScanner
