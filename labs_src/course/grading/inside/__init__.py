"""What goes into the sandbox beside a submission. No oracle, judge or hidden input may be imported or stored here."""
