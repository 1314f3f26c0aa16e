"""What a block is taken for, and which output is the one that the document shows."""
import unittest

import document

TEXT = """# Title
text
## First part
```sh dom0
one
two
```
```output
1 ...
```
```file /etc/a b
key = 1
```
```sh elsewhere
never
```
```output
nor this
```
## Second: part
```sh guest
three
```
```sh dom0 fails
four
```
"""


class Steps(unittest.TestCase):
    def test_are_taken_in_order_with_their_output(self):
        steps = document.steps(TEXT)
        self.assertEqual([(step["name"], step["place"], step["text"], step["output"]) for step in steps], [
            ("line_004_dom0_first_part", "dom0", "one\ntwo\n", "1 ...\n"),
            ("line_011_file_first_part", "file", "key = 1\n", None),
            ("line_021_guest_second_part", "guest", "three\n", None),
            ("line_024_dom0_second_part", "dom0", "four\n", None)])
        self.assertEqual([step["fails"] for step in steps], [False, False, False, True])
        self.assertEqual(steps[1]["path"], "/etc/a b")

    def test_a_block_that_nobody_takes_is_a_mistake(self):
        for text in ("```sh\nls\n```\n", "```\nls\n```\n", "```sh dom1\nls\n```\n", "```file relative\n```\n"):
            with self.assertRaises(document.Mistake):
                document.steps(text)

    def test_output_of_nothing_is_a_mistake(self):
        with self.assertRaises(document.Mistake):
            document.steps("```file /a\n```\n```output\n```\n")

    def test_a_block_without_an_end_is_a_mistake(self):
        with self.assertRaises(document.Mistake):
            document.steps("```sh dom0\nls\n")


class Agrees(unittest.TestCase):
    def test_as_it_stands(self):
        self.assertTrue(document.agrees("a b\nc\n", "a   b \nc\n\n"))
        self.assertTrue(document.agrees("\n", ""))

    def test_other_words_do_not(self):
        for printed in ("a c\n", "a b\nc\n", "", "x a b\n"):
            self.assertFalse(document.agrees("a b\n", printed), printed)

    def test_dots_stand_for_anything_in_a_line(self):
        self.assertTrue(document.agrees("domain ... runs\n", "domain web 3 runs\n"))
        self.assertTrue(document.agrees("web-...-amd64 x\n", "web-6.1-amd64   x\n"))
        self.assertFalse(document.agrees("domain ... runs\n", "domain web\nruns\n"))
        self.assertFalse(document.agrees("domain ...\n", "domain\n"))

    def test_dots_alone_stand_for_lines(self):
        self.assertTrue(document.agrees("a\n...\nb\n", "a\nb\n"))
        self.assertTrue(document.agrees("a\n...\nb\n", "a\n1\n2\nb\n"))
        self.assertFalse(document.agrees("a\n...\nb\n", "a\n1\n"))

    def test_what_has_a_meaning_in_patterns_has_none(self):
        self.assertTrue(document.agrees("a.b* (c)\n", "a.b* (c)\n"))
        self.assertFalse(document.agrees("a.b\n", "axb\n"))


if __name__ == "__main__":
    unittest.main()
