from asyncwds.tar.scanner import Scanner

take_run: Scanner
