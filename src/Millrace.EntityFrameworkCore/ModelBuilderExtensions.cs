using Microsoft.EntityFrameworkCore;

namespace Millrace.EntityFrameworkCore;

/// <summary>Maps the tables of outbox, inbox and projections into the model of a <c>DbContext</c>. Column types are those of the provider.</summary>
public static class MillraceModelBuilderExtensions
{
    extension(ModelBuilder model)
    {
        /// <summary>Maps the outbox. Call it in <c>OnModelCreating</c>, then add a migration.</summary>
        /// <param name="table">The table; beside it is one with <c>_name</c> at the end, which has one row. Default <c>millrace_outbox</c>.</param>
        /// <param name="schema">Its schema. Default: that of the model.</param>
        public ModelBuilder AddMillraceOutbox(string table = "millrace_outbox", string? schema = null) => model.Entity<OutboxRow>(row =>
        {
            row.ToTable(table, schema);
            row.HasKey(one => one.Id);
            row.Property(one => one.Id).HasColumnName("id").ValueGeneratedOnAdd();
            row.Property(one => one.Token).HasColumnName("token");
            row.Property(one => one.Stream).HasColumnName("stream").HasMaxLength(Streams.StreamLimits.MaxNameBytes);
            row.Property(one => one.OrderKey).HasColumnName("order_key");
            row.Property(one => one.Fields).HasColumnName("fields");
            row.Property(one => one.DelayMilliseconds).HasColumnName("delay_ms");
            row.Property(one => one.CreatedAt).HasColumnName("created_at").HasDefaultValueSql(ClockOf(model));
            row.Property(one => one.State).HasColumnName("state").HasConversion<int>();
            row.Property(one => one.SettledAt).HasColumnName("settled_at");
            row.Property(one => one.Attempts).HasColumnName("attempts");
            row.Property(one => one.Error).HasColumnName("error");
            row.HasIndex(one => new { one.State, one.Id }).HasDatabaseName($"ix_{table}_state");
        }).Entity<OutboxNameRow>(row =>
        {
            row.ToTable($"{table}_name", schema);
            row.HasKey(one => one.Id);
            row.Property(one => one.Id).HasColumnName("id").ValueGeneratedNever();
            row.Property(one => one.Name).HasColumnName("name").HasMaxLength(OutboxNameRow.MaxNameLength);
        });

        /// <summary>Maps the inbox. Call it in <c>OnModelCreating</c>, then add a migration.</summary>
        /// <param name="table">The table. Default <c>millrace_inbox</c>.</param>
        /// <param name="schema">Its schema. Default: that of the model.</param>
        public ModelBuilder AddMillraceInbox(string table = "millrace_inbox", string? schema = null) => model.Entity<InboxRow>(row =>
        {
            row.ToTable(table, schema);
            row.HasKey(one => new { one.Consumer, one.MessageId });
            row.Property(one => one.Consumer).HasColumnName("consumer").HasMaxLength(InboxRow.MaxLength);
            row.Property(one => one.MessageId).HasColumnName("message_id").HasMaxLength(InboxRow.MaxLength);
            row.Property(one => one.HandledAt).HasColumnName("handled_at").HasDefaultValueSql(ClockOf(model));
            row.HasIndex(one => one.HandledAt).HasDatabaseName($"ix_{table}_handled_at");
        });

        /// <summary>Maps the checkpoints of projections. Call it in <c>OnModelCreating</c>, then add a migration.</summary>
        /// <param name="table">The table. Default <c>millrace_projections</c>.</param>
        /// <param name="schema">Its schema. Default: that of the model.</param>
        public ModelBuilder AddMillraceProjections(string table = "millrace_projections", string? schema = null) => model.Entity<ProjectionRow>(row =>
        {
            row.ToTable(table, schema);
            row.HasKey(one => new { one.Projection, one.Generation });
            row.Property(one => one.Projection).HasColumnName("projection").HasMaxLength(ProjectionRow.MaxNameLength);
            row.Property(one => one.Generation).HasColumnName("generation").ValueGeneratedNever();
            row.Property(one => one.Checkpoint).HasColumnName("checkpoint").HasMaxLength(ProjectionRow.MaxCheckpointLength);
        });
    }

    /// <summary>The clock of the database, with which times of rows are compared as well: there EF Core translates <c>DateTime.UtcNow</c>.</summary>
    private static string ClockOf(ModelBuilder model)
    {
        // With this switch the columns have no time zone, and what they are compared with is in UTC; by itself the clock would be in the session's zone.
        const string isLegacy = "Npgsql.EnableLegacyTimestampBehavior";
        const string isNpgsql = "Npgsql:ValueGenerationStrategy";
        return AppContext.TryGetSwitch(isLegacy, out var isOn) && isOn && model.Model.FindAnnotation(isNpgsql) is not null
            ? "CURRENT_TIMESTAMP AT TIME ZONE 'UTC'"
            : "CURRENT_TIMESTAMP";
    }
}
