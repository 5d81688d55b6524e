from asyncwds.tar.scanner import Scanner, SpanScanner, TableScanner

take_run: Scanner
find_spans: SpanScanner
take_table: TableScanner
