"""Finds what is wrong with a data set before a training does.

Faults have codes (`faults.FAULTS`). The strict readers of `data` stop at the
first; here everything is read leniently and each one is counted.
"""
