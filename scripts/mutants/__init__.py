"""How many small mistakes in the code that numbers rest on the tests would see.

    python -m scripts.mutants --count 60

Changes one place of one file at a time (a comparison turned round or by its equality, +1 on a number, and for or, one
arithmetic operator for another, a statement left out), runs the tests that concern the file, and counts the changes
that no test minds. Each of those is printed with its line: a test is missing, or the change means the same. A sample of
all places, drawn from --seed, with an equal share for each file. Ends with a line of JSON.
"""
