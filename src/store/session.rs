//! One set of statements for two engines: connections and transactions that are either SQLite's or PostgreSQL's.
//! All statements here are written once, with `$1` placeholders, which both understand.

use futures_util::TryStreamExt;
use sqlx::pool::PoolConnection;
use sqlx::{
    AssertSqlSafe, PgConnection, Postgres, SqlSafeStr, SqlStr, Sqlite, SqliteConnection,
    Transaction,
};

use uuid::Uuid;

use super::embedded::{EmbeddedFile, FileId};
use super::tenant_rows::corrupt;
use super::values::{Arg, NUMBERED, PLAIN, Row, placeholders};
use super::{Cursor, Inner, Pools, StoreError};

/// A connection, or a transaction that is rolled back unless it is committed.
pub(super) enum Session {
    Sqlite(PoolConnection<Sqlite>, Option<FileId>),
    SqliteTransaction(Transaction<'static, Sqlite>, Option<FileId>),
    Postgres(PoolConnection<Postgres>),
    PostgresTransaction(Transaction<'static, Postgres>),
}

enum Connection<'s> {
    Sqlite(&'s mut SqliteConnection),
    Postgres(&'s mut PgConnection),
}

/// Makes a query of a statement and its arguments, for the engine that the place of use infers.
macro_rules! query {
    ($sql:expr, $args:expr) => {{
        let mut query = sqlx::query($sql);
        for arg in $args {
            query = match arg {
                Arg::Int(value) => query.bind(*value),
                Arg::Text(value) => query.bind(*value),
                Arg::Uuid(value) => query.bind(*value),
                Arg::Bytes(value) => query.bind(*value),
            };
        }
        query
    }};
}

impl Session {
    /// Runs a statement; how many rows it touched.
    pub(super) async fn run(
        &mut self,
        sql: &'static str,
        args: &[Arg<'_>],
    ) -> Result<u64, StoreError> {
        self.run_sql(sql.into_sql_str(), args).await
    }

    /// Inserts `rows`, each as long as the list of columns in `head`, in as few statements as the engines' bounds on arguments
    /// allow. `head` is `insert into … (…) values`, a text of this program.
    pub(super) async fn insert_many(
        &mut self,
        head: &str,
        rows: &[Vec<Arg<'_>>],
    ) -> Result<(), StoreError> {
        self.insert_or(head, rows, "").await
    }

    /// As [`Self::insert_many`], with what is to be done about rows that are there (`on conflict …`).
    pub(super) async fn insert_or(
        &mut self,
        head: &str,
        rows: &[Vec<Arg<'_>>],
        conflict: &'static str,
    ) -> Result<(), StoreError> {
        /// Arguments of one statement: SQLite takes 32,766, PostgreSQL 65,535; more than this gains nothing.
        const ARGUMENTS: usize = 8_000;
        let mark = self.either(PLAIN, NUMBERED);
        let Some(width) = rows.first().map(Vec::len) else {
            return Ok(());
        };
        for chunk in rows.chunks((ARGUMENTS / width).max(1)) {
            let marks = placeholders(mark, width, chunk.len());
            let sql = format!("{head} {marks} {conflict}");
            let args: Vec<Arg<'_>> = chunk.iter().flatten().cloned().collect();
            self.run_sql(AssertSqlSafe(sql).into_sql_str(), &args)
                .await?;
        }
        Ok(())
    }

    /// The rows whose `column` is one of `values`. `head` is `select … from … where column in`.
    pub(super) async fn rows_with(
        &mut self,
        head: &'static str,
        values: &[Arg<'_>],
    ) -> Result<Vec<Row>, StoreError> {
        let mark = self.either(PLAIN, NUMBERED);
        let mut found = Vec::new();
        for chunk in values.chunks(2_000) {
            let sql = format!("{head} {}", placeholders(mark, chunk.len(), 1));
            found.extend(
                self.rows_sql(AssertSqlSafe(sql).into_sql_str(), chunk)
                    .await?,
            );
        }
        Ok(found)
    }

    /// Runs a statement on the rows whose `column` is one of `values`. `head` is `delete from … where column in`, `tail` what else must
    /// hold.
    pub(super) async fn run_with(
        &mut self,
        head: &'static str,
        values: &[Arg<'_>],
        tail: &'static str,
    ) -> Result<(), StoreError> {
        let mark = self.either(PLAIN, NUMBERED);
        for chunk in values.chunks(2_000) {
            let sql = format!("{head} {} {tail}", placeholders(mark, chunk.len(), 1));
            self.run_sql(AssertSqlSafe(sql).into_sql_str(), chunk)
                .await?;
        }
        Ok(())
    }

    async fn run_sql(&mut self, sql: SqlStr, args: &[Arg<'_>]) -> Result<u64, StoreError> {
        Ok(match self.connection() {
            Connection::Sqlite(c) => query!(sql, args).execute(c).await?.rows_affected(),
            Connection::Postgres(c) => query!(sql, args).execute(c).await?.rows_affected(),
        })
    }

    async fn rows_sql(&mut self, sql: SqlStr, args: &[Arg<'_>]) -> Result<Vec<Row>, StoreError> {
        Ok(match self.connection() {
            Connection::Sqlite(c) => {
                let rows = query!(sql, args).fetch_all(c).await?;
                rows.into_iter().map(Row::Sqlite).collect()
            }
            Connection::Postgres(c) => {
                let rows = query!(sql, args).fetch_all(c).await?;
                rows.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// All rows of an answer.
    pub(super) async fn rows(
        &mut self,
        sql: &'static str,
        args: &[Arg<'_>],
    ) -> Result<Vec<Row>, StoreError> {
        self.rows_sql(sql.into_sql_str(), args).await
    }

    /// The only row of an answer, if there is one.
    pub(super) async fn row(
        &mut self,
        sql: &'static str,
        args: &[Arg<'_>],
    ) -> Result<Option<Row>, StoreError> {
        Ok(match self.connection() {
            Connection::Sqlite(c) => query!(sql, args).fetch_optional(c).await?.map(Row::Sqlite),
            Connection::Postgres(c) => query!(sql, args)
                .fetch_optional(c)
                .await?
                .map(Row::Postgres),
        })
    }

    /// Hands the rows of an answer to `each` as they come, so that they are never in memory together.
    pub(super) async fn each(
        &mut self,
        sql: impl SqlSafeStr,
        mut each: impl FnMut(&Row) -> Result<(), StoreError> + Send,
    ) -> Result<(), StoreError> {
        match self.connection() {
            Connection::Sqlite(c) => {
                let mut rows = sqlx::query(sql).fetch(c);
                while let Some(row) = rows.try_next().await? {
                    each(&Row::Sqlite(row))?;
                }
            }
            Connection::Postgres(c) => {
                let mut rows = sqlx::query(sql).fetch(c);
                while let Some(row) = rows.try_next().await? {
                    each(&Row::Postgres(row))?;
                }
            }
        }
        Ok(())
    }

    /// Hands every name that `page` lists to `each`. `page` is `select count(*) as many, string_agg(NAME, ' ') as names from (… NAME > $1
    /// order by NAME limit $2) as page`, and its names are compared by their bytes: a row is handed from thread to thread and costs some
    /// fifty times what a name in it does.
    ///
    /// # Errors
    /// A name that is none, as one with a space in it.
    pub(super) async fn each_name(
        &mut self,
        page: &'static str,
        mut each: impl FnMut(&str) -> Result<(), StoreError> + Send,
    ) -> Result<(), StoreError> {
        /// Names in a row; more gain nothing.
        const AT_ONCE: i64 = 2_000;
        let mut last = String::new();
        loop {
            let row = self.row(page, &[(&last).into(), AT_ONCE.into()]).await?;
            let Some(row) = row else { return Ok(()) };
            let many: i64 = row.get("many")?;
            if many == 0 {
                return Ok(());
            }
            let names: &str = row.get("names")?;
            let mut left = many;
            for name in names.split(' ') {
                left -= 1;
                // What is not behind the last one would be listed again, for ever; and what was two would lead the next page astray.
                if left < 0 || name <= last.as_str() {
                    return Err(corrupt("name", name));
                }
                each(name)?;
                last.clear();
                last.push_str(name);
            }
        }
    }

    /// Runs a script of several statements, without arguments.
    pub(super) async fn script(&mut self, sql: impl SqlSafeStr) -> Result<(), StoreError> {
        match self.connection() {
            Connection::Sqlite(c) => sqlx::raw_sql(sql).execute(c).await.map(drop)?,
            Connection::Postgres(c) => sqlx::raw_sql(sql).execute(c).await.map(drop)?,
        }
        Ok(())
    }

    /// Whichever of the two is meant for the engine at hand.
    pub(super) fn either<T>(&self, sqlite: T, postgres: T) -> T {
        match self {
            Self::Sqlite(..) | Self::SqliteTransaction(..) => sqlite,
            Self::Postgres(_) | Self::PostgresTransaction(_) => postgres,
        }
    }

    /// Waits, in a transaction, for whoever else holds `lock`, and keeps it until the end. On SQLite a writing transaction is
    /// alone anyway.
    pub(super) async fn lock(&mut self, lock: i64) -> Result<(), StoreError> {
        if self.either(false, true) {
            self.run("select pg_advisory_xact_lock($1)", &[lock.into()])
                .await?;
        }
        Ok(())
    }

    /// Lifts the server's bound on one statement's time for the rest of this transaction.
    pub(super) async fn unhurried(&mut self) -> Result<(), StoreError> {
        if self.either(false, true) {
            self.run("set local statement_timeout = 0", &[]).await?;
        }
        Ok(())
    }

    /// Gives `role` what a node needs, on PostgreSQL. The role's name is quoted by the server.
    pub(super) async fn grant(&mut self, role: &str) -> Result<(), StoreError> {
        let statements = self
            .rows(
                "select format(g, $1::text) as statement from (values (1, 'grant usage on schema public to %I'), \
                 (2, 'grant select, insert, update, delete on all tables in schema public to %I')) as v(n, g) order by n",
                &[role.into()],
            )
            .await?;
        for row in &statements {
            let statement: String = row.get("statement")?;
            self.run_sql(AssertSqlSafe(statement).into_sql_str(), &[])
                .await?;
        }
        Ok(())
    }

    /// Reads `epoch` and `position` of a row.
    pub(super) fn cursor(&self, row: &Row) -> Result<Cursor, StoreError> {
        self.cursor_at(row, "position")
    }

    /// Reads `epoch` and the position in `column` of a row.
    pub(super) fn cursor_at(&self, row: &Row, column: &'static str) -> Result<Cursor, StoreError> {
        let feed: Uuid = row.get("epoch")?;
        let epoch = match self {
            Self::Sqlite(_, Some(id)) | Self::SqliteTransaction(_, Some(id)) => id.epoch(feed),
            _ => feed,
        };
        let position = row.get(column)?;
        Ok(Cursor { epoch, position })
    }

    /// Ends a transaction for good; nothing outside of one.
    pub(super) async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::SqliteTransaction(transaction, _) => transaction.commit().await?,
            Self::PostgresTransaction(transaction) => transaction.commit().await?,
            Self::Sqlite(..) | Self::Postgres(_) => {}
        }
        Ok(())
    }

    fn connection(&mut self) -> Connection<'_> {
        match self {
            Self::Sqlite(connection, _) => Connection::Sqlite(connection),
            Self::SqliteTransaction(transaction, _) => Connection::Sqlite(transaction),
            Self::Postgres(connection) => Connection::Postgres(connection),
            Self::PostgresTransaction(transaction) => Connection::Postgres(transaction),
        }
    }
}

impl Inner {
    /// A connection for one reading statement.
    pub(super) async fn reading(&self) -> Result<Session, StoreError> {
        Ok(match &self.pools {
            Pools::Sqlite { file, read, .. } => {
                let (connection, id) = of_one_file(file, || read.acquire()).await?;
                Session::Sqlite(connection, id)
            }
            // A transaction pooler may give the parts of one statement's protocol to different servers outside of one.
            Pools::Postgres { pool, pooler: true } => {
                Session::PostgresTransaction(pool.begin().await?)
            }
            Pools::Postgres { pool, .. } => Session::Postgres(pool.acquire().await?),
        })
    }

    /// A transaction whose statements all see the same state.
    pub(super) async fn snapshot(&self) -> Result<Session, StoreError> {
        Ok(match &self.pools {
            Pools::Sqlite { file, read, .. } => {
                let (transaction, id) = of_one_file(file, || read.begin()).await?;
                Session::SqliteTransaction(transaction, id)
            }
            Pools::Postgres { pool, .. } => Session::PostgresTransaction(
                pool.begin_with("begin isolation level repeatable read read only")
                    .await?,
            ),
        })
    }

    /// A transaction that may write. On SQLite it has the write lock from its start, so that it never finds it lost half-way.
    pub(super) async fn exclusive(&self) -> Result<Session, StoreError> {
        Ok(match &self.pools {
            Pools::Sqlite { file, write, .. } => {
                let begin = || write.begin_with("begin immediate");
                let (transaction, id) = of_one_file(file, begin).await?;
                Session::SqliteTransaction(transaction, id)
            }
            Pools::Postgres { pool, .. } => Session::PostgresTransaction(pool.begin().await?),
        })
    }
}

/// A connection, and the file that it leads to: asked before and after, because the pool may have just made it.
async fn of_one_file<C, F>(
    file: &EmbeddedFile,
    connect: impl Fn() -> F,
) -> Result<(C, Option<FileId>), StoreError>
where
    F: Future<Output = sqlx::Result<C>>,
{
    /// Somebody who replaces the file more often than that in a moment gets what was there last.
    const TRIES: usize = 3;
    let mut id = file.look();
    let mut connection = connect().await?;
    for _ in 1..TRIES {
        let now = file.look();
        if now == id {
            break;
        }
        id = now;
        // The first goes back before the next is asked for: a command has but one.
        drop(connection);
        connection = connect().await?;
    }
    Ok((connection, id))
}
